# What a person types. The playbooks and tools that the recipes name do the work.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

INVENTORY ?= inventories/local
PURGE ?= 0
FUZZ_SECONDS ?= 3600
PLAY = ansible-playbook -i $(INVENTORY) $$(tools/become)
IMAGE_ENV = source ./.env; export BASE_IMAGE=$$UPLOAD_BASE_IMAGE DOCKER=$$UPLOAD_BUILD_CLI BUILD_CA=$$UPLOAD_BUILD_CA NGINX_IMAGE=$$UPLOAD_NGINX_IMAGE APP_IMAGE=$$UPLOAD_APP_IMAGE
FUZZ_TARGETS = $(wildcard images/nginx-upload/fuzz/fuzz_*.c)

.PHONY: help up down verify images test bench-module bench-portal screenshots test-module-large test-module-matrix test-module-sanitize test-module-valgrind fuzz generate

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Deploy to this machine's own Docker engine (INVENTORY=... for another site)
	@tools/bootstrap
	@$(PLAY) playbooks/site.yml

down: ## Remove what `make up` made; data, secrets and the images it built only with PURGE=1
	@tools/bootstrap
	@$(PLAY) playbooks/down.yml --extra-vars down_purge=$(if $(filter 1,$(PURGE)),true,false)

verify: ## Test every deployed host from outside, as push.py's doctor does
	@tools/bootstrap
	@$(PLAY) playbooks/verify.yml

images: ## Build the images only, for compose.yaml
	@tools/bootstrap
	@$(PLAY) playbooks/images.yml

generate: ## Write what follows from other files: the roles' READMEs, compose's nginx.conf
	@tools/bootstrap test
	@tools/generate

test: ## Everything: linters, roles, push.py, module, app, a deployment here, Molecule (STEP=... for one)
	@tools/bootstrap test
	@tools/test $(STEP)

test-module-large: .env ## The upload module with more than 4 GiB over every transport (minutes)
	@$(IMAGE_ENV); images/nginx-upload/test.sh -m large

test-module-matrix: .env ## The upload module with the nginx of Debian 12, 13 and sid (PURGE=1 removes what it built)
	@tools/bootstrap test
	@$(IMAGE_ENV); PURGE=$(PURGE) images/nginx-upload/matrix.sh

test-module-sanitize: .env ## The upload module and nginx with the address and undefined-behaviour sanitizers
	@$(IMAGE_ENV); SANITIZE=1 images/nginx-upload/test.sh

test-module-valgrind: .env ## The upload module and nginx in valgrind's memcheck (half an hour)
	@$(IMAGE_ENV); VALGRIND=1 images/nginx-upload/test.sh

bench-module: .env ## The upload module beside its peers: speed, CPU, memory (BENCH="--quick"; its --help has more)
	@$(IMAGE_ENV); images/nginx-upload/bench.sh $(BENCH)

bench-portal: ## The drop zone in Chromium beside curl, against the site of `make up`: speed, memory
	@tools/bootstrap test
	@tools/bench-portal

screenshots: ## The pictures in docs/images, of the site of `make up`
	@tools/bootstrap test
	@tools/screenshots

.env:
	@$(MAKE) images

fuzz: .env ## Fuzz the upload module's parsers for an hour (FUZZ_SECONDS=... shared by all of them)
	@tools/bootstrap test
	@SECONDS_EACH=$$(($(FUZZ_SECONDS) / $(words $(FUZZ_TARGETS)))) tools/test fuzz
