package tenancy

import (
	"errors"
	"slices"
	"testing"
)

// The cells of the table "How receivers decide, and what survives a renewal". The changes of a column include those of
// the column to its left, except that a new CA keeps the subject and the SAN.
func TestWhatSurvivesARenewal(t *testing.T) {
	sameKey := Changes{}
	newKey := Changes{Key: true}
	newSubject := Changes{Key: true, Subject: true}
	newSubjectAndSAN := Changes{Key: true, Subject: true, SAN: true}
	newCA := Changes{Key: true, Issuer: true, Root: true}
	newCASameKey := Changes{Issuer: true, Root: true}
	newIntermediate := Changes{Key: true, Issuer: true} // below the same root
	for _, c := range []struct {
		by   []Identifier
		want [7]Survival // same key, new key, new subject, new subject and SAN, new CA, new CA and same key, intermediate
	}{
		{[]Identifier{ByCertificate}, [7]Survival{Fails, Fails, Fails, Fails, Fails, Fails, Fails}},
		{[]Identifier{ByIssuerSerial}, [7]Survival{Fails, Fails, Fails, Fails, Fails, Fails, Fails}},
		{[]Identifier{ByKey}, [7]Survival{Survives, Fails, Fails, Fails, Fails, Survives, Fails}},
		{[]Identifier{BySubjectIssuer}, [7]Survival{Survives, Survives, Fails, Fails, Fails, Fails, Fails}},
		{[]Identifier{BySubject}, [7]Survival{Survives, Survives, Fails, Fails, Unclear, Unclear, Unclear}},
		{[]Identifier{BySAN}, [7]Survival{Survives, Survives, Survives, Fails, Unclear, Unclear, Unclear}},
		{[]Identifier{ByCA}, [7]Survival{Survives, Survives, Survives, Survives, Fails, Fails, Unclear}},
		{[]Identifier{ByNewestOnly}, [7]Survival{Survives, Survives, Fails, Fails, Fails, Fails, Fails}},
		{nil, [7]Survival{Unclear, Unclear, Unclear, Unclear, Unclear, Unclear, Unclear}},
		{[]Identifier{"other"}, [7]Survival{Unclear, Unclear, Unclear, Unclear, Unclear, Unclear, Unclear}},
		// All identifiers have to fit.
		{[]Identifier{BySubject, ByCA}, [7]Survival{Survives, Survives, Fails, Fails, Fails, Fails, Unclear}},
		{[]Identifier{BySAN, BySubject}, [7]Survival{Survives, Survives, Fails, Fails, Unclear, Unclear, Unclear}},
		{[]Identifier{ByCA, ByKey}, [7]Survival{Survives, Fails, Fails, Fails, Fails, Fails, Fails}},
	} {
		for i, changes := range []Changes{sameKey, newKey, newSubject, newSubjectAndSAN, newCA, newCASameKey,
			newIntermediate} {
			if got := changes.Survival(c.by); got != c.want[i] {
				t.Errorf("%v, changes %+v: %s, want %s", c.by, changes, got, c.want[i])
			}
		}
	}
}

func TestIdentifiersAreKnownAndDifferent(t *testing.T) {
	if err := (Egress{IdentifiesBy: Identifiers()}).Check(); err != nil {
		t.Error(err)
	}
	for _, all := range [][]Identifier{{"thumbprint"}, {""}, {ByKey, ByCA, ByKey}} {
		err := Egress{IdentifiesBy: all}.Check()
		var rule *RuleError
		if !errors.As(err, &rule) || rule.Field != "egress.identifies_by" || !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", all, err)
		}
	}
	if !(Egress{IdentifiesBy: []Identifier{ByCA, ByNewestOnly}}).TakesNewestOnly() || (Egress{}).TakesNewestOnly() ||
		(Egress{IdentifiesBy: slices.DeleteFunc(Identifiers(),
			func(i Identifier) bool { return i == ByNewestOnly })}).TakesNewestOnly() {
		t.Error("newest-only is not found, or found where it is not")
	}
}
