# make demo   set up, render 48 coatings, train, measure, write demo/report.html
# make test   set up, run the tests
# make check  lint and types
# make bench  seconds a stage of every recipe; bench-large, bench-naive, bench-memory: see docs/rendering.md
# make bench-train  images a second by model and setting: see docs/results.md
# make bench-farm  what the farm costs beside rendering; status, linking and simulation of large jobs: see docs/scaling.md

PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# The demo's size; a test makes it small.
DEMO   ?= demo
COUNT  ?= 48
RENDER ?=
FIT    ?=

.PHONY: setup demo test test-farm test-others check bench bench-large bench-naive bench-memory bench-train bench-farm clean

setup: $(READY)

$(READY): pyproject.toml scripts/setup.sh
	@rm -f $@
	sh scripts/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(READY)
	$(BIN)/render-farm run configs/recipes/slurry_coating.yaml $(RENDER) --count $(COUNT) --seed 0 --out $(DEMO)/dataset
	$(BIN)/sem-train fit configs/train/slurry_unet.yaml out=$(DEMO)/run data.synthetic.0.path=$(DEMO)/dataset $(FIT)
	$(BIN)/sem-train evaluate $(DEMO)/run --data $(DEMO)/dataset --report $(DEMO)/report.html
	@echo "open $(DEMO)/report.html"

# The tests of the farm mostly wait, so the others run beside them. MAKEFLAGS: they call make themselves.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs=2 test-farm test-others

test-farm: $(READY)
	MAKEFLAGS= $(BIN)/python -m pytest tests/slurm tests/render_farm

test-others: $(READY)
	MAKEFLAGS= $(BIN)/python -m pytest --ignore=tests/slurm --ignore=tests/render_farm

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	@for recipe in configs/recipes/*.yaml; do $(BIN)/blender-gen bench $$recipe || exit 1; done

bench-large: $(READY)
	@for recipe in configs/recipes/*.yaml; do $(BIN)/blender-gen bench $$recipe --size 1024 --count 3 || exit 1; done

bench-naive: $(READY)
	$(BIN)/python -m benchmarks.naive configs/recipes/slurry_coating.yaml

bench-memory: $(READY)
	$(BIN)/python -m benchmarks.memory configs/recipes/slurry_coating.yaml

bench-train: $(READY)
	$(BIN)/sem-train bench --model unet --model deeplabv3plus --model segformer --steps 8

bench-farm: $(READY)
	$(BIN)/python -m benchmarks.farm_rendering configs/recipes/slurry_coating.yaml
	$(BIN)/python -m benchmarks.farm status
	$(BIN)/python -m benchmarks.farm simulation

clean:
	rm -rf demo build *.egg-info
