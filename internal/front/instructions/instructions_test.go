package instructions

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

var acme = Certificate{Tenant: "acme", Generation: 2, Subject: "CN=acme", Serial: "abc02", SHA256: "22", SHA1: "aa"}

func of(t *testing.T, product string, r Renewal) Instruction {
	t.Helper()
	for _, i := range For(r) {
		if i.Product == product {
			return i
		}
	}
	t.Fatalf("there are no instructions for %s", product)
	return Instruction{}
}

func TestEveryProductHasADefaultThatCanBeStored(t *testing.T) {
	all := Products()
	if len(all) < 13 {
		t.Errorf("%d products", len(all))
	}
	for _, p := range all {
		if err := (tenancy.Egress{IdentifiesBy: p.Identifies}).Check(); err != nil || len(p.Identifies) == 0 {
			t.Errorf("%s identifies by %v: %v", p.Product, p.Identifies, err)
		}
		if got, found := IdentifiesOf(p.Product); !found || !slices.Equal(got, p.Identifies) {
			t.Errorf("%s: %v, %v", p.Product, got, found)
		}
	}
	if _, found := IdentifiesOf("telnetd"); found {
		t.Error("there are instructions for telnetd")
	}
}

// "Nothing to do" is only there if the receiver accepts the new certificate without anybody acting.
func TestNothingIsToBeDoneOnlyIfNothingChangesThatTheProductCompares(t *testing.T) {
	for _, changes := range []tenancy.Changes{{Key: true}, {Key: true, Subject: true}, {Key: true, Issuer: true},
		{Key: true, Issuer: true, Root: true}, {Key: true, SAN: true}} {
		for _, i := range For(Renewal{New: acme, Changes: changes}) {
			nothing := strings.HasPrefix(i.How, "Nothing to do")
			if survival := changes.Survival(i.Identifies); nothing != (survival == tenancy.Survives) {
				t.Errorf("%s, changes %+v: %s, and the text is %q", i.Product, changes, survival, i.How)
			}
			if got, want := slices.Contains(i.Notes, newCA), changes.Issuer || changes.Root; got != want {
				t.Errorf("%s, changes %+v: the note about the CA is there: %v", i.Product, changes, got)
			}
			if got := slices.Contains(i.Notes, newSubject); got != changes.Subject {
				t.Errorf("%s, changes %+v: the note about the subject is there: %v", i.Product, changes, got)
			}
			if got := slices.Contains(i.Notes, newSAN); got != changes.SAN {
				t.Errorf("%s, changes %+v: the note about the SAN is there: %v", i.Product, changes, got)
			}
		}
	}
}

func TestValuesAreQuotedForTheProduct(t *testing.T) {
	named := acme
	named.Subject = `CN=Mü.ller \"x\" $1 \C3,O=it's {y}`
	for product, want := range map[string]string{
		"nginx":        `"CN=M\\C3\\BC.ller \\\"x\\\" $1 \\C3,O=it's {y}" 1;`,
		"HAProxy":      `-- 'CN=M\C3\BC.ller \"x\" $1 \C3,O=it'\''s {y}' }`,
		"Apache httpd": `eq "CN=Mü.ller \\\"x\\\" \$1 \\C3,O=it\'s \{y\}")`,
		"Keycloak":     `^CN=Mü\.ller \\"x\\" \$1 \\C3,O=it's \{y\}$`,
		"Kong":         `--data-urlencode 'subject_name=Mü.ller "x" $1 ` + "\xc3'",
	} {
		snippets := of(t, product, Renewal{New: named}).Snippets
		if got := snippets[len(snippets)-1]; !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", product, got, want)
		}
	}
	pattern := strings.TrimPrefix(of(t, "Keycloak", Renewal{New: named}).Snippets[0], "Subject DN: ")
	exactly := regexp.MustCompile(pattern)
	if !exactly.MatchString(named.Subject) || exactly.MatchString(named.Subject+"x") {
		t.Errorf("%s does not match exactly %s", pattern, named.Subject)
	}
}

func TestLongNamesGetARoomyMapInNginx(t *testing.T) {
	for length, want := range map[int]string{46: "", 47: "map_hash_bucket_size 128;", 96: "map_hash_bucket_size 128;",
		97: "map_hash_bucket_size 256;", 1000: "map_hash_bucket_size 2048;"} {
		got := nginxBucket(strings.Repeat("x", length))
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("a key of %d bytes: %q, want %q", length, got, want)
		}
	}
}

func TestSerialNumbersHaveAnEvenNumberOfDigits(t *testing.T) {
	for in, want := range map[string]string{"abc": "0A:BC", "0abc": "0A:BC", "1": "01", "ff00": "FF:00"} {
		if got := colons(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := evenHex("-abc"); got != "-0abc" {
		t.Errorf("a negative number: %s", got)
	}
	if got := colons("-abc"); got != "-0A:BC" {
		t.Errorf("a negative number with colons: %s", got)
	}
	if got := of(t, "Apache httpd", Renewal{New: acme}).Snippets[0]; !strings.Contains(got, `"0ABC02"`) {
		t.Error(got)
	}
}

func TestTheOldCertificatesValuesAreFilledInIfTheyAreKnown(t *testing.T) {
	old := Certificate{Tenant: "acme", Generation: 1, Subject: "CN=acme", Serial: "abc01", SHA256: "11", SHA1: "0ld5ha1"}
	for product, want := range map[string]string{"nginx": "0ld5ha1 1;  # generation 1", "Apache httpd": `"0ABC01"`,
		"Envoy": `"11"`, "Azure API Management": "0LD5HA1",
		"Caddy": "/acme-generation-1.pem\n\t\ttrusted_leaf_cert_file /etc/caddy/acme-generation-2.pem"} {
		if got := of(t, product, Renewal{New: acme, Old: &old}).Snippets[0]; !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", product, got, want)
		}
	}
}

// No text asks to keep a revoked certificate, and no variant accepts it because of its subject.
func TestARevokedCertificateIsRemoved(t *testing.T) {
	for bits := range 1 << 5 {
		changes := tenancy.Changes{Key: bits&1 > 0, Subject: bits&2 > 0, SAN: bits&4 > 0, Issuer: bits&8 > 0,
			Root: bits&16 > 0}
		for _, i := range For(Renewal{New: acme, Revoked: true, Changes: changes}) {
			text := i.How + strings.Join(i.Notes, "") + strings.Join(i.Snippets, "")
			for _, unwanted := range []string{"eep ", "has expired", "stays here", "OLD ONE", "for now"} {
				if strings.Contains(text, unwanted) {
					t.Errorf("%s, changes %+v: %q in\n%s", i.Product, changes, unwanted, text)
				}
			}
			single := slices.Contains(i.Identifies, tenancy.ByCertificate) ||
				slices.Contains(i.Identifies, tenancy.ByIssuerSerial)
			removes := strings.Contains(i.How, "of revoked certificates") || strings.Contains(i.How, "delete revoked ones")
			if single && !removes {
				t.Errorf("%s, changes %+v: %s", i.Product, changes, i.How)
			}
			if got := slices.Contains(i.Notes, newSubjectOfRevoked); got != changes.Subject {
				t.Errorf("%s, changes %+v: the note about the subject is there: %v", i.Product, changes, got)
			}
			if got := slices.Contains(i.Notes, newSANOfRevoked); got != changes.SAN {
				t.Errorf("%s, changes %+v: the note about the SAN is there: %v", i.Product, changes, got)
			}
			if len(i.Snippets) != 1 {
				t.Errorf("%s has %d variants", i.Product, len(i.Snippets))
			}
			trusts := slices.Contains(i.Identifies, tenancy.BySubject) || slices.Contains(i.Identifies, tenancy.ByCA)
			if slices.Contains(i.Notes, revocationList) != trusts {
				t.Errorf("%s: %q", i.Product, i.Notes)
			}
		}
	}
	valid := Certificate{Tenant: "acme", Generation: 1, Serial: "abc01", SHA1: "0ld5ha1"}
	got := of(t, "nginx", Renewal{New: acme, Old: &valid, Revoked: true}).Snippets[0]
	if !strings.Contains(got, "0ld5ha1") {
		t.Errorf("another certificate that is still valid is left out: %s", got)
	}
}

func TestTheCommonNameIsFoundInAnySubject(t *testing.T) {
	for dn, want := range map[string]string{"CN=acme": "acme", `O=a\,CN\=b,CN=c`: "c", `O=x+CN=a\+b`: "a+b",
		`CN=M\C3\BCller`: "Müller", `CN=a\\`: `a\`, "O=x": "", "": "", `CN=a\`: `a\`} {
		if got := commonName(dn); got != want {
			t.Errorf("%q: %q, want %q", dn, got, want)
		}
	}
}
