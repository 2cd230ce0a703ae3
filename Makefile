PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs bench growth clean

demo: $(VENV)/installed
	$(BIN)/python recipes/tts/any_sentence.py --run runs/demo/voice --threads 2
	$(BIN)/python recipes/asr/speech_chain.py --voice runs/demo/voice --run runs/demo/ears --threads 2

test: $(VENV)/installed lint docs
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the site in build/site; any warning is an error
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# constraints.txt pins every package, torch and torchaudio as the pair that works together
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py

growth: $(VENV)/installed
	$(BIN)/python benchmarks/growth.py --picture docs/growth.png

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
