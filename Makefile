# What a person types. The playbooks and tools that the recipes name do the work.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

INVENTORY ?= inventories/local
PURGE ?= 0
PLAY = ansible-playbook -i $(INVENTORY) $$(tools/become)

.PHONY: help up down images test generate

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Deploy to this machine's own Docker engine (INVENTORY=... for another site)
	@tools/bootstrap
	@$(PLAY) playbooks/site.yml

down: ## Remove what `make up` made; data, secrets and images only with PURGE=1
	@tools/bootstrap
	@$(PLAY) playbooks/down.yml --extra-vars down_purge=$(if $(filter 1,$(PURGE)),true,false)

images: ## Build the images only, for compose.yaml
	@tools/bootstrap
	@$(PLAY) playbooks/images.yml

generate: ## Write what follows from other files: the roles' READMEs, compose's nginx.conf
	@tools/bootstrap test
	@tools/generate

test: ## Everything: linters, roles, push.py, module, app, a deployment here, Molecule (STEP=... for one)
	@tools/bootstrap test
	@tools/test $(STEP)
