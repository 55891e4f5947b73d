package gateway

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

func TestAKeptBodyIsSentAgainFromTheBeginning(t *testing.T) {
	for _, size := range []int{0, 1, 200, smallBody, smallBody + 1, memoryLimit - 1, memoryLimit, memoryLimit + 1,
		3 << 20} {
		for _, known := range []bool{true, false} {
			body := make([]byte, size)
			rand.Read(body)
			length := int64(size)
			if !known {
				length = -1
			}
			k := keepBody(iotest.HalfReader(bytes.NewReader(body)), length, 4<<20, t.TempDir())
			for n, part := range []int{size / 3, size / 2, size, size} {
				r, ok := k.newTry()
				if !ok {
					t.Fatalf("%d bytes: attempt %d is not possible", size, n)
				}
				got, err := io.ReadAll(io.LimitReader(r, int64(part)))
				if err != nil || !bytes.Equal(got, body[:part]) {
					t.Fatalf("%d bytes: attempt %d read %d of %d: %v", size, n, len(got), part, err)
				}
			}
			k.close()
		}
	}
}

func TestABodyBeyondTheLimitGoesThroughOnce(t *testing.T) {
	body := strings.Repeat("x", 300_000)
	k := keepBody(strings.NewReader(body), -1, 100_000, t.TempDir())
	r, _ := k.newTry()
	if got, err := io.ReadAll(r); err != nil || string(got) != body {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, ok := k.newTry(); ok {
		t.Error("a body beyond the limit can be sent again")
	}
}

func TestAnAbandonedAttemptReadsNothingMore(t *testing.T) {
	k := keepBody(strings.NewReader("the body"), 8, 100, "")
	first, _ := k.newTry()
	first.Read(make([]byte, 3))
	var all sync.WaitGroup
	second, _ := k.newTry()
	all.Go(func() {
		if _, err := first.Read(make([]byte, 3)); !errors.Is(err, errDetached) {
			t.Errorf("the first attempt continued to read: %v", err)
		}
	})
	if got, err := io.ReadAll(second); err != nil || string(got) != "the body" {
		t.Errorf("%q, %v", got, err)
	}
	all.Wait()
}

func TestAFullDiskCostsTheSecondAttemptAndNotTheMessage(t *testing.T) {
	body := strings.Repeat("x", 2*memoryLimit)
	dir := t.TempDir()
	os.Remove(dir)
	k := keepBody(strings.NewReader(body), int64(len(body)), 64<<20, dir)
	r, _ := k.newTry()
	if got, err := io.ReadAll(r); err != nil || len(got) != len(body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, ok := k.newTry(); ok {
		t.Error("a body that could not be kept can be sent again")
	}
}

// A slow sender delays neither the abandoning of an attempt nor the forwarding of an answer.
func TestASlowSenderDelaysOnlyItsOwnBody(t *testing.T) {
	for _, limit := range []int64{100, 10} { // more and less than the body
		source, sender := io.Pipe()
		k := keepBody(source, -1, limit, "")
		first, _ := k.newTry()
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(first)
			read <- err
		}()
		sender.Write([]byte("the first,"))
		for !k.has(10) {
			runtime.Gosched()
		}
		// The first attempt waits for more. Another one begins, and is accepted.
		if !k.hold() {
			t.Fatal("the body cannot be sent again")
		}
		second, ok := k.newTry()
		if !ok {
			t.Fatal("there is no second attempt")
		}
		k.release()
		got := make(chan string)
		go func() {
			all, err := io.ReadAll(second)
			if err != nil {
				t.Error(err)
			}
			got <- string(all)
		}()
		sender.Write([]byte("the second,"))
		sender.Write([]byte("the third"))
		sender.Close()
		if err := <-read; !errors.Is(err, errDetached) {
			t.Errorf("the first attempt: %v", err)
		}
		if all := <-got; all != "the first,the second,the third" {
			t.Errorf("limit %d: the second attempt read %q", limit, all)
		}
		k.close()
	}
}

// A transport continues to read the body while the answer that refused it is evaluated.
func TestAHeldBodyCanBeSentAgainWhateverTheRefusedAttemptReads(t *testing.T) {
	for _, again := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			source, sender := io.Pipe()
			k := keepBody(source, -1, 10, "")
			first, _ := k.newTry()
			var all string
			var err error
			go func() {
				var read []byte
				read, err = io.ReadAll(first)
				all = string(read)
			}()
			sender.Write([]byte("the first,"))
			if !k.hold() {
				t.Fatal("the body cannot be sent again")
			}
			go func() {
				sender.Write([]byte(" the second"))
				sender.Close()
			}()
			synctest.Wait()
			if !k.hold() {
				t.Fatal("the attempt continued to read, and the body cannot be sent again")
			}
			if !again {
				k.release() // the refusal becomes the answer, and the receiver may wait for the rest of the body
				synctest.Wait()
				if err != nil || all != "the first, the second" {
					t.Errorf("the attempt read %q: %v", all, err)
				}
				return
			}
			second, ok := k.newTry()
			if !ok {
				t.Fatal("there is no second attempt")
			}
			if got, err := io.ReadAll(second); err != nil || string(got) != "the first, the second" {
				t.Errorf("the second attempt read %q: %v", got, err)
			}
			if synctest.Wait(); !errors.Is(err, errDetached) {
				t.Errorf("the first attempt read %q: %v", all, err)
			}
		})
	}
}

func (k *kept) has(size int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.size == size
}
