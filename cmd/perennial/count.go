package main

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"
)

// A count is a flag or an argument that is a whole number. The tag `least:"1"` sets the smallest one; 0 is the default.
type count int

// Decode implements [kong.MapperValue]. It also reads a negative number after a space, which is not a flag.
func (n *count) Decode(ctx *kong.DecodeContext) error {
	least, _ := strconv.Atoi(ctx.Value.Tag.Get("least"))
	token, text := ctx.Scan.Pop(), ""
	if !token.IsEOL() {
		text = token.String()
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < least {
		return fmt.Errorf("expected a whole number of at least %d but got %q", least, text)
	}
	*n = count(number)
	return nil
}
