package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/api"
	"github.com/perennial-pki/perennial/tenancy"
)

// linked is what a link for a receiver's administrator shows.
type linked struct {
	Tenant      string
	Endpoint    string
	Certificate api.Certificate
	OldUntil    time.Time
	Path        string // of the link
	Message     string // how the test went
}

// An instruction is what to do at one kind of receiver.
type instruction struct {
	product string
	how     string
	snippet string
}

// subjectOf takes one attribute of a distinguished name (RFC 4514) without escapes, which the names of tenants never need.
func subjectOf(dn, attribute string) string {
	for part := range strings.SplitSeq(dn, ",") {
		if name, value, ok := strings.Cut(part, "="); ok && name == attribute {
			return value
		}
	}
	return ""
}

// colons writes a fingerprint as openssl does.
func colons(hex string) string {
	var b strings.Builder
	for i := 0; i+2 <= len(hex); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex[i : i+2]))
	}
	return b.String()
}

// snippets are for the new certificate. Those for nginx, HAProxy, Apache, Envoy, Traefik and Caddy are configuration; the
// others are steps in a product's own console.
func snippets(c api.Certificate) []instruction {
	cn := subjectOf(c.Subject, "CN")
	const add = "Add the new line beside the old one, and reload. Take the old line out when the old certificate has expired."
	return []instruction{
		{"nginx", add, fmt.Sprintf("map $ssl_client_fingerprint $known {\n    default 0;\n    # the old certificate stays here for now\n    %s 1;  # generation %d\n}\n\n# or, once and for all, by the subject, which stays the same:\nmap $ssl_client_s_dn $known {\n    default 0;\n    %q 1;\n}\n\n# in the server block\nif ($known = 0) { return 401; }", c.SHA1, c.Generation, c.Subject)},
		{"HAProxy", "Append the new fingerprint to the list, at run time or in the file, and keep the old one for now.", fmt.Sprintf("# the list, a fingerprint a line\necho %s >> /etc/haproxy/accepted\n# at run time\necho \"add acl /etc/haproxy/accepted %s\" | socat stdio /run/haproxy/admin.sock\n\n# in the frontend\nhttp-request deny deny_status 401 unless { ssl_c_sha1,hex -m str -f /etc/haproxy/accepted }", strings.ToUpper(c.SHA1), strings.ToUpper(c.SHA1))},
		{"Apache httpd", add, fmt.Sprintf("SSLVerifyClient require\nSSLRequire (%%{SSL_CLIENT_M_SERIAL} eq %q \\\n  or %%{SSL_CLIENT_M_SERIAL} eq \"SERIAL OF THE OLD ONE\")\n\n# or, once and for all, by the subject, which stays the same:\nSSLRequire (%%{SSL_CLIENT_S_DN_CN} eq %q)", strings.ToUpper(c.Serial), cn)},
		{"Envoy", "Envoy accepts any of the hashes: add the new one to the list.", fmt.Sprintf("validation_context:\n  trusted_ca: { filename: /etc/envoy/ca.pem }\n  verify_certificate_hash:\n    - \"HASH OF THE OLD ONE\"\n    - %q", c.Fingerprint)},
		{"Traefik", "Traefik trusts the CA, which stays the same: nothing to do. Where a middleware looks at the subject, it stays the same too.", fmt.Sprintf("tls:\n  options:\n    default:\n      clientAuth:\n        caFiles: [/etc/traefik/ca.pem]\n        clientAuthType: RequireAndVerifyClientCert\n# subject: %s", c.Subject)},
		{"Caddy", "Caddy can trust single certificates: add the new file to the list, and reload.", fmt.Sprintf("tls {\n\tclient_auth {\n\t\tmode require_and_verify\n\t\ttrusted_leaf_cert_file old.pem\n\t\ttrusted_leaf_cert_file generation-%d.pem\n\t}\n}", c.Generation)},
		{"Keycloak", "In the client's X.509 authenticator the subject is matched, which stays the same: nothing to do. Where a certificate was uploaded, upload the new one under Credentials.", fmt.Sprintf("Subject DN: ^%s$", strings.ReplaceAll(c.Subject, ".", "\\."))},
		{"Kong", "mtls-auth maps by the CA and a consumer's subject name: both stay the same. Where the consumer has the certificate's own name, check that it is this one.", fmt.Sprintf("curl -X POST http://localhost:8001/consumers/CONSUMER/mtls-auth -d subject_name=%s", cn)},
		{"Apigee", "Upload the certificate to the trust store that the virtual host refers to, under an alias of its own. The old alias stays until the old certificate has expired.", fmt.Sprintf("alias: %s-generation-%d", cn, c.Generation)},
		{"Azure API Management", "Under Certificates add the new one (.cer). In the policy, compare with a list of thumbprints instead of one.", fmt.Sprintf("<when condition=\"@(context.Request.Certificate == null || !new[] {\n  &quot;THUMBPRINT OF THE OLD ONE&quot;, &quot;%s&quot; }.Contains(context.Request.Certificate.Thumbprint))\">", strings.ToUpper(c.SHA1))},
		{"AWS API Gateway", "The trust store of the custom domain holds CAs: the CA stays the same, so nothing is to do. Where a Lambda authorizer compares serial numbers, add the new one.", fmt.Sprintf("serialNumber: %s", colons(c.Serial))},
		{"SAP Cloud Integration", "Under Monitor > Manage Security > User Roles or Certificate-to-User Mapping: add a mapping with the new certificate (.cer) for the same user, and keep the old mapping until the old certificate has expired.", fmt.Sprintf("%s-generation-%d.cer", cn, c.Generation)},
		{"IIS", "In oneToOneMappings add an entry with the certificate in base64, for the same user. With manyToOneMappings by subject nothing is to do.", fmt.Sprintf("<add enabled=\"true\" userName=\"USER\" password=\"…\" certificate=\"BASE64 OF generation-%d.cer\" />", c.Generation)},
	}
}

// checks are how receivers check, and what survives.
var checks = []struct{ what, renewal, ca string }{
	{"the fingerprint of the whole certificate (pin)", "fails", "fails"},
	{"issuer and serial number", "fails", "fails"},
	{"the public key (SPKI pin)", "fails", "fails"},
	{"the subject, or subject and issuer", "works", "fails where the issuer is mapped"},
	{"the SAN (URI or DNS)", "works", "fails until the CA is trusted"},
	{"any certificate of a trusted CA", "works", "fails until the new CA is trusted"},
}

// A difference is one field of two generations.
type difference struct{ field, before, after string }

func differences(v *view, a, b api.Certificate) []difference {
	return []difference{
		{v.T("Subject"), a.Subject, b.Subject},
		{v.T("Keys"), string(a.KeyType), string(b.KeyType)},
		{v.T("Serial number"), a.Serial, b.Serial},
		{"SHA-256", a.Fingerprint, b.Fingerprint},
		{v.T("Valid from"), v.When(a.NotBefore), v.When(b.NotBefore)},
		{v.T("Valid until"), v.When(a.NotAfter), v.When(b.NotAfter)},
	}
}

func latestFirst(all []api.Certificate, p tenancy.Purpose) (some []api.Certificate) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Purpose == p {
			some = append(some, all[i])
		}
	}
	return some
}

func openTasks(tasks []api.Task) string {
	if len(tasks) >= 5 {
		return "5+"
	}
	return count(len(tasks))
}

func receiverName(r roll) string {
	if r.receiver.ContactName != "" {
		return r.receiver.ContactName
	}
	return r.receiver.DisplayName
}

func (v *view) strategy(s tenancy.Strategy) string {
	switch s {
	case tenancy.Confirmed:
		return v.T("Confirmed: when a person or a probe says that the receiver is ready")
	case tenancy.Manual:
		return v.T("Manual: when a person chooses")
	case tenancy.Immediate:
		return v.T("Immediate: at the renewal, whatever the receiver accepts")
	}
	return v.T("Adaptive: when a person, a probe or the messages show that the receiver is ready")
}

// list writes numbers: "1, then 2".
func list(v *view, numbers []int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, v.T(", then "))
}
