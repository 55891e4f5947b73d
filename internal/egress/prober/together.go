package prober

import (
	"errors"
	"sync"
)

// together calls a function for each item, at most some of them at the same time, and returns all errors.
func together[T any](items []T, most int, do func(T) error) error {
	var calls sync.WaitGroup
	free := make(chan struct{}, most)
	failed := make([]error, len(items))
	for i, item := range items {
		free <- struct{}{}
		calls.Go(func() {
			defer func() { <-free }()
			failed[i] = do(item)
		})
	}
	calls.Wait()
	return errors.Join(failed...)
}
