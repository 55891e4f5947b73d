package instructions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// A product is a kind of receiving system.
type product struct {
	name       string
	identifies []tenancy.Identifier
	how        string
	// otherwise replaces how if the renewal changes a property that the product compares.
	otherwise string
	// revoked replaces how if earlier certificates, which the product lists one by one, are revoked, and otherwiseRevoked
	// replaces otherwise.
	revoked, otherwiseRevoked string
	snippets                  func(Renewal) []string
}

const add = "Add the new line next to the old one and reload. Remove the old line when the old certificate has " +
	"expired. The second variant compares the subject. With it, a renewal that keeps the subject and the CA needs no " +
	"change."

const replace = "Add the new line, remove those of revoked certificates, and reload."

var products = []product{
	{name: "nginx", identifies: []tenancy.Identifier{tenancy.ByCertificate}, how: add, revoked: replace, snippets: nginx},
	{name: "HAProxy", identifies: []tenancy.Identifier{tenancy.ByCertificate}, how: "Append the new fingerprint to the " +
		"list, in the file and at run time, and keep the old one for now. The second variant compares the subject. With " +
		"it, a renewal that keeps the subject and the CA needs no change.", snippets: haproxy,
		revoked: "Append the new fingerprint to the list, and remove those of revoked certificates, in the file and at run " +
			"time."},
	{name: "Apache httpd", identifies: []tenancy.Identifier{tenancy.ByIssuerSerial}, how: add, revoked: replace,
		snippets: apache},
	{name: "Envoy", identifies: []tenancy.Identifier{tenancy.ByCertificate},
		how: "Envoy accepts any of the hashes. Add the new one to the list.", snippets: envoy,
		revoked: "Envoy accepts any of the hashes. Add the new one to the list, and remove those of revoked certificates."},
	{name: "Traefik", identifies: []tenancy.Identifier{tenancy.ByCA},
		how:       "Nothing to do: Traefik trusts the CA, which stays the same.",
		otherwise: "Add the certificates of the new CA to the file in caFiles, and keep the old ones.", snippets: traefik,
		otherwiseRevoked: "Add the certificates of the new CA to the file in caFiles."},
	{name: "Caddy", identifies: []tenancy.Identifier{tenancy.ByCertificate},
		how: "Caddy can trust single certificates. Add the line of the new file (PEM) and reload.", snippets: caddy,
		revoked: "Caddy can trust single certificates. Add the line of the new file (PEM), remove those of revoked " +
			"certificates, and reload."},
	{name: "Keycloak", identifies: []tenancy.Identifier{tenancy.BySubject},
		how: "Nothing to do if the client's X.509 authenticator matches the subject, which stays the same. If a " +
			"certificate was uploaded, upload the new one under Credentials.",
		otherwise: "Add the new subject to the regular expression of the client's X.509 authenticator, and keep the old " +
			"one. If a certificate was uploaded, upload the new one under Credentials.", snippets: keycloak,
		otherwiseRevoked: "Add the new subject to the regular expression of the client's X.509 authenticator, and remove " +
			"the old one if only revoked certificates have it. If a certificate was uploaded, upload the new one under " +
			"Credentials."},
	{name: "Kong", identifies: []tenancy.Identifier{tenancy.BySubject, tenancy.ByCA},
		how: "Nothing to do: mtls-auth maps by the CA and by a consumer's subject name, and both stay the same. Check that " +
			"the subject name of the consumer is this one.",
		otherwise: "Upload the certificates of the new CA if the CA changes, and add the subject name to the consumer.",
		snippets:  kong},
	{name: "Apigee", identifies: []tenancy.Identifier{tenancy.ByCertificate}, how: "Upload the certificate under a new " +
		"alias to the trust store that the virtual host refers to. Keep the old alias until the old certificate has " +
		"expired.", snippets: apigee,
		revoked: "Upload the certificate under a new alias to the trust store that the virtual host refers to, and delete " +
			"the aliases of revoked certificates."},
	{name: "Azure API Management", identifies: []tenancy.Identifier{tenancy.ByCertificate}, how: "Add the new " +
		"certificate (.cer) under Certificates. In the policy, compare with a list of thumbprints.", snippets: azure,
		revoked: "Add the new certificate (.cer) under Certificates, and delete revoked ones. In the policy, compare with " +
			"a list of thumbprints without theirs."},
	{name: "AWS API Gateway", identifies: []tenancy.Identifier{tenancy.ByCA},
		how: "Nothing to do for the custom domain: its trust store holds CAs, and the CA stays the same. If a Lambda " +
			"authorizer compares serial numbers, add the new one.",
		otherwise: "Add the certificates of the new CA to a new version of the trust store, keep the old ones, and wait " +
			"until the custom domain uses the new version. If a Lambda authorizer compares serial numbers, add the new one.",
		revoked: "Nothing to do for the custom domain: its trust store holds CAs, and the CA stays the same. If a Lambda " +
			"authorizer compares serial numbers, add the new one, and remove those of revoked certificates.",
		otherwiseRevoked: "Add the certificates of the new CA to a new version of the trust store, and wait until the " +
			"custom domain uses the new version. If a Lambda authorizer compares serial numbers, add the new one, and " +
			"remove those of revoked certificates.", snippets: aws},
	{name: "SAP Cloud Integration (Neo)", identifies: []tenancy.Identifier{tenancy.ByCertificate},
		how: "Under Monitor > Manage Security > Certificate-to-User Mappings, add a mapping of the new certificate (.cer) " +
			"to the same user. Several mappings may point to one user, so keep the old one until the old certificate has " +
			"expired. The load balancer must trust the CA: SAP Note 2801396 lists the CAs.", snippets: certificateFile,
		revoked: "Under Monitor > Manage Security > Certificate-to-User Mappings, add a mapping of the new certificate " +
			"(.cer) to the same user, and delete those of revoked certificates. The load balancer must trust the CA: SAP " +
			"Note 2801396 lists the CAs."},
	{name: "SAP Cloud Integration (Cloud Foundry, Pin Certificate on)",
		identifies: []tenancy.Identifier{tenancy.ByCertificate},
		how: "A certificate belongs to exactly one service key. In the instance of Process Integration Runtime (plan " +
			"integration-flow), create a second service key of the type External Certificate with the new certificate. " +
			"Keep the old service key until the old certificate has expired. The load balancer must trust the CA: SAP Note " +
			"2801396 lists the CAs.", snippets: certificateFile,
		revoked: "A certificate belongs to exactly one service key. In the instance of Process Integration Runtime (plan " +
			"integration-flow), create a service key of the type External Certificate with the new certificate, and delete " +
			"those of revoked certificates. The load balancer must trust the CA: SAP Note 2801396 lists the CAs."},
	{name: "SAP Cloud Integration (Cloud Foundry, Pin Certificate off)",
		identifies: []tenancy.Identifier{tenancy.ByNewestOnly},
		how: "Nothing to do: the service key accepts a newer certificate with the same subject and issuer. From its first " +
			"message on, it refuses every older certificate for good.",
		otherwise: "The service key accepts only newer certificates with the same subject and issuer. In the instance of " +
			"Process Integration Runtime (plan integration-flow), create a second service key of the type External " +
			"Certificate with the new certificate. Keep the old one until the old certificate has expired. The load balancer " +
			"must trust the CA: SAP Note 2801396 lists the CAs.", snippets: certificateFile,
		otherwiseRevoked: "The service key accepts only newer certificates with the same subject and issuer. In the " +
			"instance of Process Integration Runtime (plan integration-flow), create a service key of the type External " +
			"Certificate with the new certificate, and delete those of revoked certificates. The load balancer must trust " +
			"the CA: SAP Note 2801396 lists the CAs."},
	{name: "IIS", identifies: []tenancy.Identifier{tenancy.ByCertificate},
		how: "In oneToOneMappings, add an entry with the certificate in base64 for the same user. A rule in " +
			"manyToOneMappings that compares the subject needs no change if the subject stays the same.", snippets: iis,
		revoked: "In oneToOneMappings, add an entry with the certificate in base64 for the same user, and remove those of " +
			"revoked certificates. A rule in manyToOneMappings that compares the subject accepts them as well."},
}

// both returns a value of the old certificate, or a placeholder, and that of the new one. The old one is left out if it
// is to be removed.
func (r Renewal) both(value func(Certificate) string, placeholder string) []string {
	switch {
	case r.Old != nil:
		return []string{value(*r.Old), value(r.New)}
	case r.Revoked:
		return []string{value(r.New)}
	}
	return []string{placeholder, value(r.New)}
}

func nginx(r Renewal) []string {
	line := func(c Certificate) string { return fmt.Sprintf("%s 1;  # generation %d", c.SHA1, c.Generation) }
	lines := r.both(line, "# the old certificate's line stays here for now")
	subject := escapedDN(r.New.Subject)
	return []string{
		fmt.Sprintf(`map $ssl_client_fingerprint $known {
    default 0;
    %s
}

# in the server block
if ($known = 0) { return 401; }`, strings.Join(lines, "\n    ")),
		fmt.Sprintf(`%smap $ssl_client_s_dn $known {
    default 0;
    %s 1;
}

# in the server block
if ($known = 0) { return 401; }`, nginxBucket(subject), nginxString(subject)),
	}
}

func haproxy(r Renewal) []string {
	return []string{
		fmt.Sprintf(`# the list, one fingerprint per line
echo %[1]s >> /etc/haproxy/accepted
# at run time
echo "add acl /etc/haproxy/accepted %[1]s" | socat stdio /run/haproxy/admin.sock

# in the frontend
http-request deny deny_status 401 unless { ssl_c_sha1,hex -m str -f /etc/haproxy/accepted }`,
			strings.ToUpper(r.New.SHA1)),
		fmt.Sprintf(`# in the frontend
http-request deny deny_status 401 unless { ssl_c_s_dn(,0,rfc2253) -m str -- %s }`,
			haproxyString(escapedDN(r.New.Subject))),
	}
}

func apache(r Renewal) []string {
	known := r.both(func(c Certificate) string { return strings.ToUpper(evenHex(c.Serial)) }, "SERIAL OF THE OLD ONE")
	for i, serial := range known {
		known[i] = fmt.Sprintf(`%%{SSL_CLIENT_M_SERIAL} eq "%s"`, serial)
	}
	slices.Reverse(known)
	return []string{
		fmt.Sprintf(`SSLVerifyClient require
<Location "/">
  SSLRequire (%s)
</Location>`, strings.Join(known, " \\\n    or ")),
		fmt.Sprintf(`SSLVerifyClient require
<Location "/">
  SSLRequire (%%{SSL_CLIENT_S_DN} eq %s)
</Location>`, apacheString(r.New.Subject)),
	}
}

func envoy(r Renewal) []string {
	hashes := r.both(func(c Certificate) string { return fmt.Sprintf("\n    - %q", c.SHA256) },
		"\n    - \"HASH OF THE OLD ONE\"")
	return []string{`validation_context:
  trusted_ca: { filename: /etc/envoy/ca.pem }
  verify_certificate_hash:` + strings.Join(hashes, "")}
}

func traefik(Renewal) []string {
	return []string{`tls:
  options:
    default:
      clientAuth:
        caFiles: [/etc/traefik/ca.pem]
        clientAuthType: RequireAndVerifyClientCert`}
}

// caddy uses directives that every version 2 has. Their replacements are missing before 2.8, for example in Debian 12.
func caddy(r Renewal) []string {
	leaf := func(c Certificate) string { return "trusted_leaf_cert_file /etc/caddy/" + c.file(".pem") }
	return []string{fmt.Sprintf(`tls {
	client_auth {
		mode require_and_verify
		trusted_ca_cert_file /etc/caddy/ca.pem
		%s
	}
}`, strings.Join(r.both(leaf, "# the old certificate's line stays here for now"), "\n\t\t"))}
}

func keycloak(r Renewal) []string { return []string{"Subject DN: " + expression(r.New.Subject)} }

func kong(r Renewal) []string {
	return []string{"curl -X POST http://localhost:8001/consumers/CONSUMER/mtls-auth --data-urlencode " +
		shellString("subject_name="+commonName(r.New.Subject))}
}

func apigee(r Renewal) []string {
	return []string{fmt.Sprintf("alias: %s-generation-%d", r.New.Tenant, r.New.Generation)}
}

func azure(r Renewal) []string {
	known := r.both(func(c Certificate) string { return strings.ToUpper(c.SHA1) }, "THUMBPRINT OF THE OLD ONE")
	return []string{fmt.Sprintf(`<when condition="@(context.Request.Certificate == null || !new[] {
  &quot;%s&quot; }.Contains(context.Request.Certificate.Thumbprint))">`, strings.Join(known, "&quot;, &quot;"))}
}

func aws(r Renewal) []string { return []string{"serialNumber: " + colons(r.New.Serial)} }

func certificateFile(r Renewal) []string {
	return []string{r.New.file(".cer")}
}

func iis(r Renewal) []string {
	return []string{fmt.Sprintf(`<add enabled="true" userName="USER" password="…"
  certificate="BASE64 OF %s" />`, r.New.file(".cer"))}
}

// commonName returns the first common name of a subject (RFC 4514, section 3) without its escapes.
func commonName(dn string) string {
	for _, part := range attributes(dn) {
		if name, value, ok := strings.Cut(part, "="); ok && strings.EqualFold(name, "CN") {
			return unescaped(value)
		}
	}
	return ""
}

// attributes splits a subject at the commas and plus signs that are not escaped.
func attributes(dn string) (all []string) {
	start, escaped := 0, false
	for i := range len(dn) {
		switch {
		case escaped:
			escaped = false
		case dn[i] == '\\':
			escaped = true
		case dn[i] == ',' || dn[i] == '+':
			all, start = append(all, dn[start:i]), i+1
		}
	}
	return append(all, dn[start:])
}

// unescaped resolves the escapes of a value: a backslash before a character, or before two hexadecimal digits.
func unescaped(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		if octet, err := strconv.ParseUint(value[i+1:min(i+3, len(value))], 16, 8); err == nil && i+2 < len(value) {
			b.WriteByte(byte(octet))
			i += 2
			continue
		}
		i++
		b.WriteByte(value[i])
	}
	return b.String()
}
