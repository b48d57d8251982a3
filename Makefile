# What a person types. Everything is done by the playbooks and tools that the recipes name.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

INVENTORY ?= inventories/local
PLAY = ansible-playbook -i $(INVENTORY) $(shell tools/become)

.PHONY: help up down images test lint test-tools test-push test-module test-app test-molecule test-up generate clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Deploy to this machine's own Docker engine
	@tools/bootstrap
	@$(PLAY) playbooks/site.yml

down: ## Remove what `make up` made; data and secrets only with PURGE=1
	@tools/bootstrap
	@$(PLAY) playbooks/down.yml -e down_purge=$(if $(filter 1,$(PURGE)),true,false)

images: ## Build the images only, for compose.yaml
	@tools/bootstrap
	@$(PLAY) playbooks/site.yml --tags images

generate: ## Write the files that follow from others: role READMEs, compose's nginx.conf
	@tools/bootstrap test
	@tools/generate

test: ## Everything: linters, unit tests, module, app, push.py, a deployment here, Molecule
	@tools/test
