package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheFirstSuccessOfAProvedGenerationIsTheUsualOne(t *testing.T) {
	var none Kinds
	if first, second := none.Compared(loginPage.Reading, ok.Reading, Unproven, Proven); first != Refuses ||
		second != Accepts {
		t.Errorf("%d, %d", first, second)
	}
	if first, second := none.Compared(loginPage.Reading, ok.Reading, Unproven, Unproven); first != NoConclusion ||
		second != NoConclusion {
		t.Errorf("none is proved: %d, %d", first, second)
	}
}

// A page may be a login, unless the receiver answers messages with pages.
func TestAPageIsNoLoginWherePagesAreUsual(t *testing.T) {
	page := answered(201, "text/html")
	for _, c := range []struct {
		name  string
		known []Result
		want  Conclusion
	}{
		{"nothing is known", nil, Accepts}, {"pages are usual", []Result{ok, loginPage}, Accepts},
		{"other successes are usual", []Result{ok}, NoConclusion},
		{"pages are usual as failures alone", []Result{ok, answered(404, "text/html")}, NoConclusion},
		{"failures alone are known", []Result{notFound}, Accepts},
	} {
		var k Kinds
		for _, r := range c.known {
			k.Add(r.Kind)
		}
		if got := k.OfMessage(page.Reading, Proven, false); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTheSuccessesOfAMessage(t *testing.T) {
	for status, want := range map[int]bool{101: true, 103: false, 199: false, 200: true, 204: true, 299: true, 300: false,
		302: false, 303: false, 304: true, 305: false, 400: false, 500: false} {
		if got := (Kind{Status: status}).Succeeds(); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func TestAKindReadsBackAsWritten(t *testing.T) {
	for _, c := range []struct {
		status            int
		contentType, goTo string
		want              Kind
		text, rule        string
	}{
		{200, "Application/JSON; charset=utf-8", "", Kind{200, "application/json", ""}, "200 application/json", ""},
		{200, "text/html", "", Kind{200, "text/html", ""}, "200 text/html", "status=200 type=text/html"},
		{204, "", "", Kind{Status: 204}, "204", ""},
		{302, "text/html", "/login?back=%2Fa#x", Kind{302, "text/html", "/login"}, "302 text/html /login",
			"status=302 header=Location contains=/login"},
		{302, "", "https://idp.example.com?state=1", Kind{302, "", "https://idp.example.com"},
			"302 - https://idp.example.com", "status=302 header=Location contains=https://idp.example.com"},
		{302, "", "https://u:p@idp.example.com/authorize?state=1", Kind{302, "", "https://idp.example.com/authorize"},
			"302 - https://idp.example.com/authorize", "status=302 header=Location contains=/authorize"},
		{404, "a b\u2003c", "/ignored", Kind{404, "abc", ""}, "404 abc", "status=404"},
		{500, strings.Repeat("x", 500), "", Kind{500, strings.Repeat("x", longestMark), ""},
			"500 " + strings.Repeat("x", longestMark), "status=500"},
	} {
		res := response(c.status, "")
		res.Header = http.Header{"Content-Type": {c.contentType}, "Location": {c.goTo}}
		got := KindOf(res)
		if got != c.want || got.String() != c.text {
			t.Errorf("%d %s %s: %+v, %q", c.status, c.contentType, c.goTo, got, got)
		}
		if again, err := ParseKind(got.String()); err != nil || again != got {
			t.Errorf("%q: %+v, %v", got, again, err)
		}
		rule := ""
		if r := got.Rule(); r != nil {
			rule = r.String()
		}
		if rule != c.rule {
			t.Errorf("%q: the rule is %q, want %q", got, rule, c.rule)
		}
	}
	for _, status := range []int{100, 999} {
		if k, err := ParseKind(strconv.Itoa(status)); err != nil || k.Status != status {
			t.Errorf("%d: %+v, %v", status, k, err)
		}
	}
	for _, text := range []string{"", "x", "99", "1000", "-1 text/html"} {
		if k, err := ParseKind(text); err == nil {
			t.Errorf("%q: %+v", text, k)
		}
	}
	var many Kinds
	for status := range 2 * mostKinds {
		many.Add(Kind{Status: 100 + status})
	}
	if len(many.All()) != mostKinds {
		t.Errorf("%d kinds are kept", len(many.All()))
	}
}

func TestRefusalsMatchByEveryMarkThatIsSet(t *testing.T) {
	for _, c := range []struct {
		rule    string
		status  int
		header  http.Header
		body    string
		refused bool
		detail  string
	}{
		{"status=302 header=Location contains=/LOGIN", 302, http.Header{"Location": {"https://a/Login?x"}}, "", true,
			"302 Found to https://a/Login"},
		{"status=302 header=Location contains=/login", 302, http.Header{"Location": {"/orders/1"}}, "", false, ""},
		{"status=302 header=Location contains=/login", 303, http.Header{"Location": {"/login"}}, "", false, ""},
		{"header=X-Error contains=certificate", 500, http.Header{"X-Error": {"a", "No Certificate"}}, "", true, ""},
		{"header=X-Error contains=certificate", 200, http.Header{"X-Error": {"No Certificate"}}, "", false, ""},
		{`text="sign in"`, 200, nil, "<h1>SIGN IN</h1>", true, `200 "sign in"`},
		{`text="sign in"`, 200, nil, strings.Repeat(" ", tenancy.RefusalTextBytes) + "sign in", false, ""},
		{`text="sign in"`, 200, http.Header{"Content-Encoding": {"gzip"}}, "sign in", false, ""},
		{"status=200 type=text/html", 200, http.Header{"Content-Type": {"Text/HTML; charset=utf-8"}}, "", true, ""},
		{"status=200 type=text/html", 200, http.Header{"Content-Type": {"application/json"}}, "", false, ""},
		{"preset=sap-login", 200, http.Header{"Content-Type": {"text/html"}}, `<input name="sap-system-login">`, true, ""},
		{"preset=soap-fault", 500, nil, "<faultcode>wsse:FailedAuthentication</faultcode>", true, ""},
		{"preset=soap-fault", 500, nil, "<faultcode>Server</faultcode>", false, ""},
		{"preset=iis", 403, nil, "HTTP Error 403.16 - Forbidden", true, ""},
		{"preset=login-redirect", 302, http.Header{"Location": {"https://idp/saml2/sso"}}, "", true, ""},
		{"preset=aws-api-gateway", 403, http.Header{"X-Amzn-Errortype": {"ForbiddenException"}}, "", true, ""},
	} {
		rule, err := tenancy.ParseRefusalRule(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		// 499 is not an answer of this test, so that the rule alone decides.
		egress := tenancy.Egress{RefusalStatuses: []int{499}, RefusalRules: []tenancy.RefusalRule{rule}}
		res := response(c.status, c.body)
		if c.header != nil {
			res.Header = c.header
		}
		got := OfResponse(res, NewRefusals(egress.Refusals()))
		if refused := got.Meaning == Refused && got.Reason == RefusingAnswer; refused != c.refused ||
			c.detail != "" && got.Detail != c.detail {
			t.Errorf("%s, %d %v: %+v", c.rule, c.status, c.header, got)
		}
	}
}

func TestACallOfGRPCHasTheStatusOfItsCode(t *testing.T) {
	for code, want := range map[string]int{"0": 200, "1": 500, "3": 400, "5": 404, "7": 403, "8": 429, "9": 400, "11": 400,
		"12": 501, "13": 500, "14": 503, "16": 401, "x": 500} {
		res := response(200, "")
		res.Header = http.Header{"Content-Type": {"application/grpc+proto"}, "Grpc-Status": {code}}
		if got := KindOf(res); got.Status != want || got.Type != "application/grpc+proto" {
			t.Errorf("code %s: %+v, want %d", code, got, want)
		}
		res.Header.Set("Content-Type", "application/json")
		if got := KindOf(res); got.Status != 200 {
			t.Errorf("code %s of another media type: %+v", code, got)
		}
	}
	for contentType, want := range map[string]bool{"application/grpc": true, "application/grpc+json": true, "": false,
		"application/json": false} {
		if got := IsGRPC(http.Header{"Content-Type": {contentType}}); got != want {
			t.Errorf("%q is gRPC: %v", contentType, got)
		}
	}
}
