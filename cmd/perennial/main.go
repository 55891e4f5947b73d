// Command perennial manages the client certificates of a platform's tenants: it renews them on schedule, warns every
// key user, and moves every receiver to the new certificate. Each subcommand has its file; none has logic of its own.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	_ "time/tzdata" // time zones of policies, if the system has none

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/muesli/roff"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// cli lists the commands.
type cli struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print version, commit and Go version."`

	Serve   serveCmd   `cmd:"" group:"Service" help:"Run the service."`
	Gateway gatewayCmd `cmd:"" group:"Service" help:"Run a stand-alone gateway."`
	Config  configCmd  `cmd:"" group:"Service" help:"Print the settings in force and the source of each."`
	Key     keyCmd     `cmd:"" group:"Service" help:"The keys that seal private keys."`
	Issuer  issuerCmd  `cmd:"" group:"Service" help:"Certificate authorities that renew certificates: list them, or test one."`
	Audit   auditCmd   `cmd:"" group:"Service" help:"The audit log."`
	Rules   rulesCmd   `cmd:"" group:"Service" help:"The rules that all replicas of a database share: policy, organization, trust domain."`
	Backup  backupCmd  `cmd:"" group:"Service" help:"Copy a SQLite database while the service runs, and check the copy."`
	Restore restoreCmd `cmd:"" group:"Service" help:"Replace a SQLite database with a backup that is checked first. The old database is kept."`
	Migrate migrateCmd `cmd:"" group:"Service" help:"Move a SQLite database to PostgreSQL, verified by counts and hashes."`

	Find        findCmd        `cmd:"" group:"Client" help:"Find tenants, arrangements, receivers, people and certificates."`
	Worklist    worklistCmd    `cmd:"" group:"Client" help:"Tenants with what is to be done for each, and actions on the receivers of many of them."`
	Tenant      tenantCmd      `cmd:"" group:"Client" help:"Tenants."`
	User        userCmd        `cmd:"" group:"Client" help:"Key users and their subscriptions."`
	Contact     contactCmd     `cmd:"" group:"Client" help:"IT contacts."`
	Receiver    receiverCmd    `cmd:"" group:"Client" help:"Receivers: the systems that messages go to."`
	Arrangement arrangementCmd `cmd:"" group:"Client" help:"Communication arrangements."`

	Counterparty counterpartyCmd `cmd:"" group:"Client" help:"Counterparties: the organisations behind receivers of many tenants, with their people and one page each."`

	Rollover    rolloverCmd    `cmd:"" group:"Client" help:"Roll-overs: their state, probes, links for receivers' administrators, messages."`
	Feed        feedCmd        `cmd:"" group:"Client" help:"Feeds: certificates of an arrangement, now and next, at an address that receivers follow."`
	Diagnose    diagnoseCmd    `cmd:"" group:"Client" help:"Find out why the messages of an arrangement fail."`
	Certificate certificateCmd `cmd:"" group:"Client" help:"Certificates: list, show, download, renew."`
	Credential  credentialCmd  `cmd:"" group:"Client" help:"Further series of certificates of a tenant, with their own issuer."`
	Request     requestCmd     `cmd:"" group:"Client" help:"Certificates that have been requested but not issued yet."`
	Task        taskCmd        `cmd:"" group:"Client" help:"Tasks of key users."`
	Scope       scopeCmd       `cmd:"" group:"Client" help:"Business configuration: whether key users get mails."`
	MailCheck   mailCheckCmd   `cmd:"" name:"mail-check" group:"Client" help:"Why did I get no mail?"`
	Outlook     outlookCmd     `cmd:"" group:"Client" help:"The plan of the next runs, for the whole fleet."`
	Run         runCmd         `cmd:"" group:"Client" help:"Runs of the background job."`
	Parked      parkedCmd      `cmd:"" group:"Client" help:"Messages that wait for delivery, and the quotas of tenants."`
	Delivery    deliveryCmd    `cmd:"" group:"Client" help:"Mails and their delivery."`
	Webhook     webhookCmd     `cmd:"" group:"Client" help:"Webhooks: events for programs, chats, alerting and tickets."`
	Event       eventCmd       `cmd:"" group:"Client" help:"Read the audit log."`
	Token       tokenCmd       `cmd:"" group:"Client" help:"API tokens."`
	Account     accountCmd     `cmd:"" group:"Client" help:"Accounts of the console."`
	Authority   authorityCmd   `cmd:"" group:"Client" help:"The local CA."`
	Import      importCmd      `cmd:"" group:"Client" help:"Import a fleet from another system."`

	Watch  watchCmd  `cmd:"" group:"Receiver" help:"Watch certificates of others: be warned before they are renewed, and be told what changes and what to do where."`
	Guard  guardCmd  `cmd:"" group:"Receiver" help:"Which certificates of partners a system accepts, through their renewals."`
	Follow followCmd `cmd:"" group:"Receiver" help:"Keep the certificates that a system accepts in step with a sender's feed."`

	Bench    benchCmd    `cmd:"" group:"Without a server" help:"Run benchmarks."`
	Demo     demoCmd     `cmd:"" group:"Without a server" help:"A year of one tenant, line by line."`
	Forecast forecastCmd `cmd:"" group:"Without a server" help:"When will a certificate be renewed, and will I be warned? The exit status is 4 if not."`
	Policy   policyCmd   `cmd:"" group:"Without a server" help:"List, show and audit the rule sets."`
	Simulate simulateCmd `cmd:"" group:"Without a server" help:"Simulate years of a fleet in minutes, and compare strategies and policies."`
	Openapi  openapiCmd  `cmd:"" group:"Without a server" help:"Print the description of the API (OpenAPI 3.1)."`
	Version  versionCmd  `cmd:"" group:"Without a server" help:"Print version, commit and Go version."`

	Completion kongcompletion.Completion `cmd:"" group:"Without a server" help:"Set up completion of commands and flags in bash, zsh and fish."`
	Man        manCmd                    `cmd:"" group:"Without a server" help:"Print the manual page (roff)."`
}

// The exit statuses of the program. Scripts depend on them, so they do not change.
const (
	exitOK       = 0
	exitFailed   = 1 // the command failed
	exitUsage    = 2 // the command line is invalid
	exitUnsound  = 3 // the policy is not sound: a certificate could expire
	exitSurprise = 4 // a certificate is renewed without an earlier warning, or not in time
)

// A finding ends a command that did its work and found something that a script must notice.
type finding struct {
	status int
	text   string
}

func (f *finding) Error() string { return f.text }

// A usageError is an error in a command line that its grammar accepts.
type usageError struct{ error }

// misused returns a usageError.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// checked is a writer that remembers that it failed, for example because a disk is full.
type checked struct {
	io.Writer
	err error
}

func (c *checked) Write(p []byte) (n int, err error) {
	n, err = c.Writer.Write(p)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// env holds the streams and the clock of a command.
type env struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	issuer   func(issuer.Issuer) issuer.Issuer // wraps the CA, for tests; nil for none
	partSize int                               // certificates in a part of a run; 0 for the engine's own size
}

// log returns the log of a command that waits for something.
func (e env) log() *slog.Logger { return slog.New(slog.NewTextHandler(e.err, nil)) }

// Set by the linker in release builds. Otherwise the build information is used.
var version, commit string

func main() {
	os.Exit(run(os.Args[1:], env{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now}))
}

// run is the program. It returns the exit status.
func run(args []string, e env) int {
	out := &checked{Writer: e.out}
	e.out = out
	status, err := execute(args, e)
	if out.err != nil {
		status, err = exitFailed, fmt.Errorf("write the output: %w", out.err)
	}
	if err != nil {
		return report(e.err, args, status, err)
	}
	return status
}

// execute parses a command line and runs its command. It returns the exit status, and an error to print.
func execute(args []string, e env) (status int, err error) {
	file, err := readConfig(configPath(args))
	if err != nil {
		return exitFailed, err
	}
	commands := any(&cli{})
	if len(args) > 0 && len(file.keys) == 0 && os.Getenv("COMP_LINE") == "" { // which a shell sets for completion
		commands = onlyCommand(args[0])
	}
	exit := -1
	parser, err := kong.New(commands, append(options(e), kong.Exit(func(code int) { exit = code }), kong.Resolvers(file),
		kong.Bind(e, file))...)
	if err != nil {
		panic(err) // the table of contents itself is wrong
	}
	kongcompletion.Register(parser, kongcompletion.WithExitFunc(func(code int) { exit = code }))
	if exit >= 0 { // a shell asked what could come next
		return exit, nil
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help or --version was printed
		return exit, nil
	}
	if err != nil {
		// The empty value of a flag stands for one that is not given.
		text := strings.Replace(err.Error(), `must be one of "",`, "must be one of ", 1)
		return exitUsage, errors.New(text + slashHint(err))
	}
	var found *finding
	var usage usageError
	switch err = ctx.Run(); {
	case errors.As(err, &found):
		return found.status, err
	case errors.As(err, &usage):
		return exitUsage, err
	case err != nil:
		return exitFailed, inOwnWords(ctx, err)
	}
	return exitOK, nil
}

// onlyCommand returns [cli] with nothing but one of its commands, because building the whole tree takes half of the CPU
// time of a short command. It returns the whole one for other arguments, and for commands that need it.
func onlyCommand(name string) any {
	t := reflect.TypeFor[cli]()
	version, _ := t.FieldByName("ShowVersion")
	for i := range t.NumField() {
		f := t.Field(i)
		if _, command := f.Tag.Lookup("cmd"); command && f.Name != "Man" && f.Name != "Completion" &&
			cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name)) == name {
			return reflect.New(reflect.StructOf([]reflect.StructField{version, f})).Interface()
		}
	}
	return &cli{}
}

// options returns the options for parsing command lines and for the help.
func options(e env) []kong.Option {
	return []kong.Option{kong.Name("perennial"), kong.UsageOnError(), kong.Writers(e.out, e.err), kong.Help(printHelp),
		kong.Vars{"version": versionLine()},
		kong.Description("Renews the client certificates of many tenants on schedule, without a failed message."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true})}
}

// report prints an error and returns the exit status. With --output json it prints a problem (RFC 9457) in one line.
func report(w io.Writer, args []string, status int, err error) int {
	if !wantsJSON(args) {
		fmt.Fprintf(w, "perennial: %v\n", err)
		return status
	}
	problem := struct {
		Title  string `json:"title"`
		Status int    `json:"status,omitempty"` // HTTP, if the service answered
		Detail string `json:"detail"`
		Exit   int    `json:"exit_status"`
	}{Title: "perennial", Detail: err.Error(), Exit: status}
	if answer := (*client.Error)(nil); errors.As(err, &answer) {
		problem.Title, problem.Status = http.StatusText(answer.Status), answer.Status
	}
	if writeJSON(w, problem) != nil {
		return exitFailed
	}
	return status
}

// wantsJSON reports whether a command line asks for JSON. It works for invalid command lines, too.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--output=json" || arg == "--output" && i+1 < len(args) && args[i+1] == "json" {
			return true
		}
	}
	return false
}

type manCmd struct{}

func (manCmd) Run(e env, app *kong.Kong) error {
	_, err := fmt.Fprint(e.out, mangokong.NewManPage(1, app.Model).Build(roff.NewDocument()))
	return err
}

type versionCmd struct{}

func (versionCmd) Run(e env) error {
	_, err := fmt.Fprintln(e.out, versionLine())
	return err
}

func versionLine() string {
	v, c := buildVersion()
	return fmt.Sprintf("perennial %s (commit %s, %s)", v, c, runtime.Version())
}

func buildVersion() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "development"
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}
