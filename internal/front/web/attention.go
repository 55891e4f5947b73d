package web

import (
	"github.com/perennial-pki/perennial/client"
)

// cause shows a cause with its urgency.
func (v *view) cause(c client.Attention) stateOf {
	title := c.Title
	if c.Host == "" { // a title with a host begins with its name
		title = sentence(title)
	}
	if c.Urgent {
		return stateOf{"bad", title}
	}
	return stateOf{"wait", title}
}

// causePath is the page where a cause is dealt with.
func causePath(c client.Attention) string {
	switch c.Cause {
	case client.AttentionReceivers:
		return "/at-risk?host=" + escape(c.Host)
	case client.AttentionRun:
		return "/runs"
	case client.AttentionMailHeld:
		return "/deliveries?state=queued"
	case client.AttentionMailDead:
		return "/deliveries?state=dead"
	case client.AttentionAuthority:
		return "/authorities"
	case client.AttentionTokens:
		return "/tokens"
	case client.AttentionUnwarned:
		return "/tenants?filter=unwarned"
	case client.AttentionFeeds:
		return "/silent-feeds"
	case client.AttentionGuard:
		return guardPath
	case client.AttentionProposals:
		return "/counterparties"
	}
	return "/"
}

// causeAction is the text of the link to that page.
func (v *view) causeAction(c client.Attention) string {
	switch c.Cause {
	case client.AttentionReceivers:
		return v.T("See arrangements")
	case client.AttentionMailHeld, client.AttentionMailDead:
		return v.T("See mails")
	case client.AttentionTokens:
		return v.T("Rotate tokens")
	case client.AttentionUnwarned:
		return v.T("See tenants")
	case client.AttentionGuard, client.AttentionProposals:
		return v.T("Decide")
	}
	return v.T("See details")
}
