package recent

import "testing"

func TestAValueInUseStaysAndStrangersDoNot(t *testing.T) {
	const most = 100
	c := New[int, string](most)
	c.Put(-1, "in use")
	for i := range 5 * most {
		c.Put(i, "a stranger's")
		if v, ok := c.Get(-1); i%10 == 0 && (!ok || v != "in use") {
			t.Fatalf("the value in use is %q after %d others", v, i)
		}
		if n := c.Len(); n > 2*most {
			t.Fatalf("%d values are kept", n)
		}
	}
	if v, ok := c.Get(0); ok {
		t.Errorf("an old value is kept: %q", v)
	}
}

func TestAValueIsReplaced(t *testing.T) {
	c := New[string, int](1)
	c.Put("a", 1)
	c.Put("a", 2)
	if v, ok := c.Get("a"); v != 2 || !ok {
		t.Errorf("got %d, %v", v, ok)
	}
	c.Put("b", 3) // "a" becomes older
	c.Put("a", 4)
	if v, _ := c.Get("a"); v != 4 {
		t.Errorf("the older value %d is returned", v)
	}
}

func TestAValueIsAddedOnceAndDeleted(t *testing.T) {
	c := New[string, *int](1)
	first := c.GetOrPut("a", new(int))
	if c.GetOrPut("a", new(int)) != first {
		t.Error("the value was replaced")
	}
	c.GetOrPut("b", new(int)) // "a" becomes older
	if c.GetOrPut("a", new(int)) != first {
		t.Error("the older value was replaced")
	}
	c.Delete("a")
	if _, ok := c.Get("a"); ok {
		t.Error("a deleted value is returned")
	}
	if c.GetOrPut("a", new(int)) == first {
		t.Error("a deleted value is used again")
	}
}
