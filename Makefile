# make demo | test | lint | firmware | clean
#
# Each target that needs Python makes .venv first. The stamps below remember that it is done, until pyproject.toml changes.

RUN  := .venv/.stamp-run
TEST := .venv/.stamp-test
JOBS ?= 2

.PHONY: demo test lint firmware clean help

help:
	@echo "make demo      run a guest that switches planes, and report what happened"
	@echo "make test      run the tests (JOBS=$(JOBS) at a time)"
	@echo "make lint      ruff and mypy"
	@echo "make firmware  build the guest programs from source (needs gcc and binutils)"
	@echo "make clean     remove .venv and the caches"

demo: $(RUN)
	@.venv/bin/strata demo

test: $(TEST)
	@.venv/bin/python -m pytest -n $(JOBS)

lint: $(TEST)
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy

firmware:
	@command -v gcc >/dev/null && command -v ld >/dev/null || \
	  { echo "strata: gcc or ld is not installed. On Debian 12: apt-get install gcc binutils" >&2; exit 1; }
	@$(MAKE) --no-print-directory -C firmware

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache *.egg-info

$(RUN): pyproject.toml tools/venv.sh
	@tools/venv.sh $@

$(TEST): pyproject.toml tools/venv.sh
	@tools/venv.sh $@ test
	@touch $(RUN)
