package service

import (
	"fmt"
	"io"
	"os"

	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/tenancy"
)

// Platform describes those who run the service to the readers of mails and pages.
type Platform struct {
	Name     string `name:"platform-name" default:"Perennial" env:"PERENNIAL_PLATFORM_NAME" placeholder:"NAME" help:"Name of the platform in mails and on pages, for example Acme Cloud. Use the same value for all replicas."`
	Logo     string `name:"platform-logo" env:"PERENNIAL_PLATFORM_LOGO" placeholder:"FILE" help:"Logo beside the name of the platform on pages, instead of the mark of Perennial: PNG, SVG or WebP, at most 64 KiB. Use the same file for all replicas."`
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
	if _, err := p.logo(); err != nil {
		return err
	}
	if p.Help == "" {
		return nil
	}
	return tenancy.CheckEmail("--help-address", p.Help)
}

// logo reads the logo. It is the zero value if none is set.
func (p Platform) logo() (web.Logo, error) {
	if p.Logo == "" {
		return web.Logo{}, nil
	}
	f, err := os.Open(p.Logo)
	if err != nil {
		return web.Logo{}, fmt.Errorf("--platform-logo: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, web.MostLogo+1))
	if err != nil {
		return web.Logo{}, fmt.Errorf("--platform-logo: %w", err)
	}
	logo, err := web.NewLogo(data)
	if err != nil {
		return web.Logo{}, fmt.Errorf("--platform-logo: %s: %w", p.Logo, err)
	}
	return logo, nil
}

// web returns the platform as pages describe it.
func (p Platform) web() (web.Platform, error) {
	logo, err := p.logo()
	return web.Platform{Name: p.Name, Logo: logo, HelpAddress: p.Help, HelpPhone: p.Phone, Imprint: p.Imprint}, err
}

// notify returns the platform as mails describe it.
func (p Platform) notify() notify.Platform {
	return notify.Platform{Name: p.Name, HelpAddress: p.Help, HelpPhone: p.Phone, Imprint: p.Imprint,
		Preferences: tenancy.Preferences{Language: p.Language}}
}
