# The same targets that CI runs. "make run" and "make test" do all set-up that they need.

SHELL       := bash
.SHELLFLAGS := -o pipefail -c
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
GO      ?= go
# Without the paths of this folder in them, compiled packages serve every clone and worktree on a machine.
export GOFLAGS := -trimpath $(GOFLAGS)
FUZZ    ?= 20s
SEEDS   ?= 200
BESIEGED ?= 1h
# Packages that are tested at the same time, with the race detector and without it.
P       ?= 4
FIRST   ?= 1

.PHONY: run build release release-hsm sbom charts regression regression-idle regression-work test tested tested-race tested-plain tested-rest race check packages lint prose licences vulnerabilities generate fresh fuzz fuzz-short fuzz-address fuzz-meaning properties model faults hostile soak mutants receivers receivers-short bench bench-peers bench-guard bench-issuers bench-growth stories screenshots demo clean

run: build ## the service, on SQLite, in this folder
	bin/perennial serve

build:
	$(GO) build -ldflags "-X main.version=$(VERSION) -X main.commit=$(COMMIT)" -o bin/ ./cmd/...

# The race detector does not instrument what only computes, because it took half of the time: SQLite, which is C that was
# made Go, and cryptography. A package that uses atomic values, sync.Map or sync.OnceValue must stay instrumented, because
# the linker may choose its copy of their code for all packages. "make race" instruments all but SQLite. "make lint" vets.
SQLITE := modernc.org/sqlite/lib modernc.org/libc modernc.org/memory
FIPS := alias aes/... bigmod ecdh edwards25519/... hkdf hmac mlkem nistec/... rsa sha256 sha3 sha512 subtle tls13
COMPUTING := $(SQLITE) $(FIPS:%=crypto/internal/fips140/%) math/big encoding/asn1 encoding/base64 encoding/hex encoding/pem hash/... compress/... regexp/... strconv unicode/... golang.org/x/crypto/...
# Compiling the API and the console takes longer than compiling everything else of ours, and half as long without inlining.
# No test needs that, nor the tables of debuggers, which take a tenth.
OURS := github.com/perennial-pki/perennial
QUICK := -gcflags=$(OURS)/...=-dwarf=false $(foreach p,api web,'-gcflags=$(OURS)/internal/front/$p=-dwarf=false -l')
RACE := -race -vet=off -ldflags=-w $(COMPUTING:%=-gcflags='%=-race=false -d=checkptr=0') $(QUICK)
RACE_ALL := -race -vet=off -ldflags=-w $(SQLITE:%=-gcflags='%=-race=false -d=checkptr=0') $(QUICK)
PLAIN := -vet=off -ldflags=-w $(QUICK)
# What "make test" runs without the race detector, with which it would take twice as long, and what "make race" runs with
# it. web drives a browser, except for its open connections; cmd/perennial, deploy, receivertest, bench and demo wait for
# programs; sim plays years; rollover and acceptance visit a million states; no code of the others starts a goroutine.
# What these call has tests of its own with the race detector. The longest come first.
PLAIN_PACKAGES := ./cmd/perennial ./internal/front/web ./internal/testing/receivertest ./internal/lab/sim ./deploy ./internal/lab/bench ./internal/lab/demo ./rollover ./acceptance ./policy ./internal/engine/importing ./internal/engine/feeds ./internal/keys/certfile ./internal/front/words ./docs ./internal ./client ./tenancy ./webhook ./internal/engine/links ./internal/engine/notify/markup ./internal/engine/standing ./internal/feed ./internal/filelock ./internal/front/faults ./internal/front/instructions ./internal/front/publish ./internal/keys/givenup ./internal/keys/secret ./internal/lab/picture ./internal/redact
# The tests of these packages in which goroutines meet. They run with the race detector only.
RACING := OnAnyNumberOfCores|LivePartsStay|OpenPageIsRefreshed
# The packages that take longest with the race detector. They come first, so that no core is idle at the end.
LONGEST := ./internal/service ./internal/engine/store ./internal/egress/gateway ./internal/engine/lifecycle ./internal/ingress/guard
# Tests that live through years in one goroutine or measure memory, and the packages that have them.
YEARS := TestLargeParkedBodies|TestInvariant|TestEveryStepReports|TestEveryStepWithAToken|TestEveryAnswerReports|TestATransactionThatIsRepeated|TestNoTableGrows|TestTwoYearsPass
YEARS_PACKAGES := ./internal/engine/lifecycle ./internal/service ./internal/egress/gateway

test: packages ## everything, against real servers, with the race detector where goroutines meet
	@.ci/in-memory $(MAKE) --no-print-directory tested

# Tests of servers and browsers often wait, so all three run at the same time. Collecting garbage half as often costs
# memory, of which there is enough, and saves a twentieth of the time.
tested: export GOGC := 200
# By default, a program with the race detector sleeps for a second before it ends, so that goroutines that still run can
# race. The tests wait for their goroutines, so a tenth is enough.
tested: export GORACE := atexit_sleep_ms=100
tested:
	@$(MAKE) --no-print-directory -j 3 tested-race tested-plain tested-rest

tested-race:
	$(GO) test $(RACE) -p $(P) -timeout 60m -skip '$(YEARS)' $(LONGEST) $$($(GO) list ./... | grep -vxF "$$($(GO) list $(PLAIN_PACKAGES))")

tested-plain:
	$(GO) test $(PLAIN) -p $(P) -timeout 60m -skip '$(RACING)' $(PLAIN_PACKAGES)

tested-rest:
	$(GO) test $(PLAIN) -p 1 -timeout 60m -run '$(YEARS)' $(YEARS_PACKAGES)
	CGO_ENABLED=1 $(GO) test $(PLAIN) -tags pkcs11 ./internal/keys/kms
	CGO_ENABLED=1 $(GO) test $(PLAIN) -tags pkcs11 ./internal/service -run 'Real(Token|TPM)'
	$(GO) test $(RACE) -p 1 -timeout 60m ./internal/lab/sim ./internal/front/web -run '$(RACING)'

race: packages ## everything with the race detector, at night
	.ci/in-memory $(GO) test $(RACE_ALL) -timeout 60m ./...

# The packages whose tests are fast and need no server. Those of rollover explore nothing.
CHECKED := ./client ./docs ./internal ./policy ./tenancy ./internal/keys/certfile ./internal/keys/issuer \
	./internal/keys/keyring ./internal/engine/importing ./internal/engine/notify ./internal/engine/rollovers \
	./internal/engine/standing ./internal/engine/store ./internal/egress/diagnose ./internal/egress/outbound

check: ## for the inner loop: formatting, vet, and the fast tests, without servers and on SQLite only
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	$(GO) vet $(QUICK) ./...
	PERENNIAL_TEST_SERVERS=none $(GO) test $(QUICK) -timeout 10m $(CHECKED)
	$(GO) test $(QUICK) -timeout 10m ./rollover ./acceptance -skip "Explor|EveryReachableState|WhateverTheSendersStrategy"

packages: ## what the tests need of the system
	@.ci/packages

release: ## the static binaries, with their sizes: the same bytes from the same source, wherever they are built
	@mkdir -p bin/release
	CGO_ENABLED=0 $(GO) build -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)" -o bin/release/ ./cmd/...
	@wc -c bin/release/perennial bin/release/perennial-gateway

release-hsm: ## the binary that can use a PKCS#11 token: it needs cgo, so it is not static
	@mkdir -p bin/release
	CGO_ENABLED=1 $(GO) build -tags pkcs11 -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)" -o bin/release/perennial-pkcs11 ./cmd/perennial
	@wc -c bin/release/perennial-pkcs11

sbom: ## what the binary is made of (CycloneDX), read from the binary itself
	@mkdir -p bin/release
	"$$($(GO) -C tools tool -n cyclonedx-gomod)" app -json -licenses -output bin/release/perennial.cdx.json -main cmd/perennial .

charts: ## the Helm chart and the compose file, with the code of Helm and Compose themselves
	$(GO) -C tools test ./...

lint: prose
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	$(GO) vet $(QUICK) ./...
	CGO_ENABLED=1 $(GO) vet $(QUICK) -tags pkcs11 ./internal/keys/kms ./internal/service ./cmd/perennial
	GOFLAGS="$(GOFLAGS) $(QUICK)" "$$($(GO) -C tools tool -n staticcheck)" ./...

prose: ## lines that are too wide, and phrases to write otherwise, in all files or in those whose path begins with BELOW
	@$(GO) -C tools build -o $(CURDIR)/bin/prose ./prose
	@bin/prose -exceptions tools/prose/exceptions.txt $(BELOW)

licences: ## of every module that is linked: permissive ones and MPL-2.0 are allowed
	@$(GO) -C tools build -o $(CURDIR)/bin/licences ./licences
	@bin/licences ./cmd/...

vulnerabilities: ## known ones in code that is called; the database of vulnerabilities must be reachable
	@.ci/vulnerabilities

generate: ## the console's templates and docs/openapi.json, from the code
	"$$($(GO) -C tools tool -n templ)" generate -path internal/front/web
	@$(MAKE) build
	bin/perennial openapi > docs/openapi.json

fresh: generate ## generated files and go.mod are as the code wants them
	git diff --exit-code -- docs/openapi.json internal/front/web
	$(GO) mod tidy -diff

# The database of FuzzCheck works in the background, so no input covers the same code twice, and none can be minimized.
fuzz: ## every parser, FUZZ long each
	$(GO) test ./policy -run '^$$' -fuzz FuzzRead -fuzztime $(FUZZ)
	$(GO) test ./internal/keys/certfile -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZ)
	$(GO) test ./tenancy -run '^$$' -fuzz FuzzChecks -fuzztime $(FUZZ)
	$(GO) test ./tenancy -run '^$$' -fuzz FuzzParseRefusalRule -fuzztime $(FUZZ)
	$(GO) test ./internal/engine/notify -run '^$$' -fuzz FuzzServerURLs -fuzztime $(FUZZ)
	$(GO) test ./cmd/perennial -run '^$$' -fuzz FuzzReadConfig -fuzztime $(FUZZ)
	$(GO) test ./internal/egress/gateway -run '^$$' -fuzz FuzzAddress -fuzztime $(FUZZ)
	$(GO) test ./internal/egress/gateway -run '^$$' -fuzz FuzzTheGateway -fuzztime $(FUZZ)
	$(GO) test ./internal/egress/outbound -run '^$$' -fuzz FuzzMeaning -fuzztime $(FUZZ)
	$(GO) test ./internal/egress/outbound -run '^$$' -fuzz FuzzAnswer -fuzztime $(FUZZ)
	$(GO) test ./internal/engine/importing -run '^$$' -fuzz FuzzRead -fuzztime $(FUZZ)
	$(GO) test ./internal/engine/importing -run '^$$' -fuzz FuzzCheck -fuzztime $(FUZZ) -fuzzminimizetime 1x
	$(GO) test ./acceptance -run '^$$' -fuzz FuzzDecide -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/follow -run '^$$' -fuzz FuzzAddress -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/follow -run '^$$' -fuzz FuzzRender -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/follow -run '^$$' -fuzz FuzzParseEntries -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/guard -run '^$$' -fuzz FuzzExplain -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/guard -run '^$$' -fuzz FuzzPassedOn -fuzztime $(FUZZ)
	$(GO) test ./internal/ingress/guard -run '^$$' -fuzz FuzzReadCheck -fuzztime $(FUZZ)
	$(GO) test ./internal/front/api -run '^$$' -fuzz FuzzHalfEscaped -fuzztime $(FUZZ)
	$(GO) test ./internal/feed -run '^$$' -fuzz FuzzVerify -fuzztime $(FUZZ)
	$(GO) test ./internal/feed -run '^$$' -fuzz FuzzIndex -fuzztime $(FUZZ)
	$(GO) test ./webhook -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZ)
	$(GO) test ./webhook -run '^$$' -fuzz FuzzTemplate -fuzztime $(FUZZ)
	$(GO) test ./webhook -run '^$$' -fuzz FuzzVerify -fuzztime $(FUZZ)

fuzz-short: ## what reads strangers' input at the gateway, for FUZZ, on a core each
	@$(MAKE) --no-print-directory -j 2 --output-sync=target fuzz-address fuzz-meaning

fuzz-address:
	$(GO) test ./internal/egress/gateway -run '^$$' -fuzz FuzzAddress -fuzztime $(FUZZ) -parallel 1

fuzz-meaning:
	$(GO) test ./internal/egress/outbound -run '^$$' -fuzz FuzzMeaning -fuzztime $(FUZZ) -parallel 1

properties: ## the invariants over many more drawn histories than "make test" takes
	$(GO) test ./internal/engine/lifecycle -run Invariant -rapid.checks=400 -timeout 60m
	$(GO) test ./internal/lab/sim -run ManySeeds -args -many

regression: packages ## what a renewal, a mail, a message, a decision and an idle service cost, in counts that repeat: 15 % more than is written down fails
	@$(MAKE) --no-print-directory -j 2 --output-sync=target regression-idle regression-work

# It compares a service with a goroutine that is measured at the same time, so it tolerates the work beside it.
regression-idle:
	PERENNIAL_REGRESSION=1 $(GO) test $(QUICK) ./internal/service -count=1 -run Costs -v

regression-work:
	$(GO) test $(QUICK) ./internal/lab/bench ./internal/ingress/guard -count=1 -run Costs -v

model: packages ## Spin explores the ledger and the roll-over, and must find what is wrong with their broken variants
	model/check

faults: packages ## three replicas and one fault after the other, SEEDS of them from FIRST on (nightly: 200; two at a time, about 20 s each)
	.ci/in-memory $(GO) test $(QUICK) ./cmd/perennial -count=1 -timeout 4h -parallel 2 -run TestFaults -v -args -seeds $(SEEDS) -first-seed $(FIRST)

soak: packages ## messages, renewals, decisions, feeds and an open console for half an hour: nothing grows
	$(GO) test ./cmd/perennial -count=1 -timeout 2h -run TestNothingGrows -v -args -soaked 30m

hostile: packages ## an innocent tenant beside a hostile one, its receiver and strangers, for BESIEGED
	$(GO) test ./cmd/perennial -count=1 -timeout 4h -run TestTheInnocent -v -args -besieged $(BESIEGED)

# The packages that decide, store keys and issue. ALSO names further packages whose tests count.
PKG    ?= ./policy ./rollover ./tenancy ./internal/keys/... ./internal/engine/lifecycle ./internal/egress/outbound ./internal/egress/gateway ./internal/egress/prober
ALSO   ?=
SAMPLE ?= 150
SEED   ?= 1
JOBS   ?= 2

mutants: packages ## small changes of PKG, SAMPLE of them drawn by SEED (0: all), that the tests must notice: prints those that survive
	@mkdir -p bin
	$(GO) -C tools build -o $(CURDIR)/bin/mutants ./mutants
	bin/mutants -equivalent tools/mutants/equivalent.txt -sample $(SAMPLE) -seed $(SEED) -jobs $(JOBS) -also "$(ALSO)" \
		-test-flags -short -first-run PERENNIAL_TEST_SERVERS=none $(PKG)

WRITE ?=

receivers: packages ## renewals against real servers and programs while messages flow; WRITE=-write writes docs/receivers.md
	@RECEIVERS=1 .ci/packages
	@mkdir -p bin; status=0; \
	RECEIVERS=1 $(GO) test ./internal/testing/receivertest -count=1 -timeout 45m -parallel 5 -run 'TestReceivers|TestOrders|TestTheInstructions' -v -args -full $(WRITE) | tee bin/receivers.log | grep --line-buffered -E 'sent=|^ *--- (FAIL|SKIP)|_test.go|^FAIL|^ok' || status=1; \
	grep '^receivers: ' bin/receivers.log; exit $$status

receivers-short: packages ## two orders against one way to refuse of each program, and large bodies over HTTP/2, for CI
	@RECEIVERS=1 .ci/packages
	@mkdir -p bin; status=0; \
	RECEIVERS=1 $(GO) test $(QUICK) ./internal/testing/receivertest -count=1 -timeout 20m -parallel 5 -run 'TestOrders|TestReceiversOverHTTP2' -v | tee bin/receivers.log | grep --line-buffered -E 'sent=|^ *--- (FAIL|SKIP)|_test.go|^FAIL|^ok' || status=1; \
	grep '^receivers: ' bin/receivers.log; exit $$status

bench: build ## what docs/performance.md says; PERENNIAL_BENCH_DATABASE for PostgreSQL
	bin/perennial bench renew
	bin/perennial bench sweep
	bin/perennial bench gateway
	bin/perennial bench console

bench-peers: build packages ## the table of docs/performance.md, into bin/peers.md: against step-ca, nginx, HAProxy, Caddy, smtp-source (half an hour on a machine that does nothing else; needs wrk)
	$(GO) test ./internal/lab/bench -count=1 -timeout 90m -run TestPeers -v -args -peers $(CURDIR)/bin/peers.md -step-ca "$$(tools/peers/path step-ca)" \
		-caddy "$$(CGO_ENABLED=0 $(GO) -C tools/proxies tool -n caddy)" -service $(CURDIR)/bin/perennial

bench-guard: build packages ## the guard's table of docs/performance.md, into bin/guard.md: against nginx (3 minutes)
	$(GO) test ./internal/lab/bench -count=1 -timeout 20m -run TestGuard -v -args -guard $(CURDIR)/bin/guard.md -service $(CURDIR)/bin/perennial

bench-growth: build packages ## docs/growth.svg, and the table for docs/performance.md: costs at 1x, 10x and 100x of each size (5 minutes)
	$(GO) test ./internal/lab/bench -count=1 -timeout 20m -run TestGrowth -v -args -growth $(CURDIR)/docs/growth.svg -service $(CURDIR)/bin/perennial

bench-issuers: packages ## renewals from each kind of issuer, into bin/issuers.md: against the issuer alone (3 minutes)
	@mkdir -p bin
	$(GO) test ./internal/lab/bench -count=1 -timeout 20m -run TestIssuers -v -args -issuers $(CURDIR)/bin/issuers.md

stories: packages ## the stories of large fleets in full size: an operator with 100,000 tenants, a bank with 3,000 (minutes)
	$(GO) test ./internal/front/web -count=1 -timeout 60m -run 'LargeFleet|BanksAdministrator' -v -args -full

screenshots: packages ## what the console looks like, into docs/screenshots
	$(GO) test ./internal/front/web -count=1 -run EveryPage -args -screenshots "$(CURDIR)/docs/screenshots"

demo: build
	bin/perennial demo

clean:
	rm -rf bin
