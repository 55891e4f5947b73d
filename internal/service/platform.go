package service

import (
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/tenancy"
)

// Platform describes those who run the service to the readers of mails and pages.
type Platform struct {
	Name     string `name:"platform-name" default:"Perennial" env:"PERENNIAL_PLATFORM_NAME" placeholder:"NAME" help:"Name of the platform in mails and on pages, for example Acme Cloud. Use the same value for all replicas."`
	Help     string `name:"help-address" env:"PERENNIAL_HELP_ADDRESS" placeholder:"ADDRESS" help:"E-mail address for questions, in mails and on pages for readers without an account. Replies to mails go there. Use the same value for all replicas."`
	Phone    string `name:"help-phone" env:"PERENNIAL_HELP_PHONE" placeholder:"NUMBER" help:"Phone number for questions, below mails and pages for readers without an account. Use the same value for all replicas."`
	Imprint  string `name:"imprint" env:"PERENNIAL_IMPRINT" placeholder:"TEXT" help:"Text below every mail and below pages for readers without an account, for example the company's name and address. Use the same value for all replicas."`
	Language string `name:"language" enum:"en,de" default:"en" env:"PERENNIAL_LANGUAGE" help:"Language of mails to readers who have not chosen one: en or de. Use the same value for all replicas."`
}

func (p Platform) check() error {
	for _, field := range []struct{ name, text string }{{"--platform-name", p.Name}, {"--help-phone", p.Phone},
		{"--imprint", p.Imprint}} {
		if field.text == "" {
			continue
		}
		if err := tenancy.CheckText(field.name, field.text); err != nil {
			return err
		}
	}
	if p.Help == "" {
		return nil
	}
	return tenancy.CheckEmail("--help-address", p.Help)
}

// web returns the platform as pages describe it.
func (p Platform) web() web.Platform {
	return web.Platform{Name: p.Name, HelpAddress: p.Help, HelpPhone: p.Phone, Imprint: p.Imprint}
}

// notify returns the platform as mails describe it.
func (p Platform) notify() notify.Platform {
	return notify.Platform{Name: p.Name, HelpAddress: p.Help, HelpPhone: p.Phone, Imprint: p.Imprint,
		Preferences: tenancy.Preferences{Language: p.Language}}
}
