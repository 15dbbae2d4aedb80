# Everything a checkout needs, each target doing its own set-up: make demo, make test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
comma  := ,
# what this machine is: a Jetson (JetPack brings cv2 and TensorRT), an NVIDIA workstation, or neither
MACHINE := $(if $(wildcard /etc/nv_tegra_release),jetson,$(if $(shell command -v nvidia-smi),gpu,cpu))
EXTRAS_jetson := jetson-demo
EXTRAS_gpu    := gpu-export-rtx-demo
EXTRAS_cpu    := cpu-export-rtx-demo
RUN_EXTRAS  := $(EXTRAS_$(MACHINE))
TEST_EXTRAS := cpu-openvino-export-eval-rtx-demo-dev
SITE_jetson := --system-site-packages
# a compiler that is here must do its part; one that is not is missed aloud, and NumPy runs
CXX ?= c++
export VEDETTE_REQUIRE := $(if $(shell command -v $(CXX)),native)
NVCC := $(shell command -v nvcc)
CUDA := $(wildcard kernels/*.cu kernels/*.cuh kernels/*.h)
NATIVE := $(wildcard kernels/*.h kernels/native/*.cpp kernels/native/*.h kernels/native/*.inc)

.PHONY: setup demo test check fmt zoo fatbin soak gpu gpu-pack bench wheel jetson-wheels clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

setup: $(VENV)/has-$(TEST_EXTRAS) zoo   ## a virtual environment for developing
	$(BIN)/pre-commit install

demo: $(VENV)/has-$(RUN_EXTRAS) $(VENV)/native         ## the whole path on real weights and a real clip
	$(BIN)/python -m vedette demo

test: check zoo $(VENV)/native                         ## what CI runs: no GPU, no network
	$(BIN)/python -m pytest -q -n 4 -m "not gpu and not soak"    # four, for many of them wait

check: $(VENV)/has-$(TEST_EXTRAS) $(if $(NVCC),build/nvrtc)   ## formatting, lint, types, what the kernels cost
	$(BIN)/ruff format --check -q
	$(BIN)/ruff check -q
	$(BIN)/mypy
	PYTHONPATH=build/nvrtc $(BIN)/python -m vedette.kernels.gate

fmt: $(VENV)/has-$(TEST_EXTRAS)         ## rewrite
	$(BIN)/ruff check -q --fix
	$(BIN)/ruff format -q

# the models in the box, exported from export/zoo's weights; what `run` opens without PyTorch
NETWORKS := $(patsubst export/zoo/%.safetensors,%,$(wildcard export/zoo/*.safetensors))
BUNDLES  := $(filter mask_rcnn vae gan ddpm,$(NETWORKS)) tiny_sd    # networks of several graphs: a folder each
ZOO := $(patsubst %,runtime/zoo/%.onnx,$(filter-out $(BUNDLES),$(NETWORKS))) $(patsubst %,runtime/zoo/%/bundle.json,$(BUNDLES))
MADE_BY := $(wildcard export/*.py) | $(VENV)/has-$(TEST_EXTRAS)
zoo: $(ZOO)
runtime/zoo/%.onnx: export/zoo/%.safetensors export/networks/%.py $(MADE_BY)
	$(BIN)/python -m vedette export $* -o $@
runtime/zoo/tiny_sd/bundle.json: $(shell find export/zoo/tiny_sd -type f) export/networks/stable_diffusion.py $(MADE_BY)
	$(BIN)/python -m vedette export tiny_sd -o $(@D)
runtime/zoo/%/bundle.json: export/zoo/%.safetensors export/networks/%.py $(MADE_BY)
	$(BIN)/python -m vedette export $* -o $(@D)

# the CUDA kernels, compiled ahead: CUDA 12.6's compiler for the older architectures, nvcc for the newer
fatbin: kernels/vedette.fatbin
kernels/vedette.fatbin: $(CUDA) kernels/fatbin.py | build/nvrtc
	PYTHONPATH=build/nvrtc $(BIN)/python -m vedette.kernels.fatbin
	@touch $@

build/nvrtc: | $(BIN)/python            # apart, because PyTorch may pin another
	$(BIN)/python -m pip install -q --target $@ 'nvidia-cuda-nvrtc-cu12==12.6.*'

soak: zoo                               ## the fault tests at their own figures, 17 minutes; SECONDS=3600 make soak for longer
	$(BIN)/python -m pytest -m soak -s

gpu:                                    ## on a machine that has one: all that only it can tell, in build/gpu.json; docs/gpu.md
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu --out build/gpu.json --budget $(or $(BUDGET),450)

gpu-pack: zoo $(if $(NVCC),fatbin)      ## what travels to a GPU machine without a package index; TENSORRT86=1 for that too
	$(BIN)/python -m benchmarks.gpu.pack $(if $(TENSORRT86),--tensorrt86)

bench: zoo $(VENV)/native               ## every CPU goal beside its peers, 11 minutes; writes benchmarks/results/<machine>/ and docs/benchmarks.md
	$(BIN)/python benchmarks/run_all.py

wheel: zoo $(if $(NVCC),fatbin)         ## wheel and sdist from a clean copy of what git has, plus the zoo and the fatbin
	rm -rf build/source dist && mkdir -p build dist
	git archive --prefix=build/source/ HEAD | tar -x
	cp -r runtime/zoo/. build/source/runtime/zoo/
	$(if $(NVCC),cp kernels/vedette.fatbin* build/source/kernels/)
	$(BIN)/python -m build -q --outdir dist build/source
	ls -l dist

jetson-wheels: $(VENV)/has-$(TEST_EXTRAS)   ## do the base dependencies resolve on JetPack 6.2 and 7.2?
	for python in 310 312; do $(BIN)/python -m pip download -q --only-binary=:all: --dest build/jetson-$$python \
	  --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --python-version $$python \
	  $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'])") || exit 1; \
	  echo "cp$$python aarch64: resolved"; done

# has-A-B: the extras A and B are installed; done again only when pyproject.toml changes
$(VENV)/has-%: pyproject.toml setup.py | $(BIN)/python
	@echo "installing vedette[$(subst -,$(comma),$*)] for a $(MACHINE) machine: 0.3 GB without PyTorch; with it (export)"
	@echo "another 0.7 GB for a CPU build, several GB where the package index gives a CUDA build"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -e '.[$(subst -,$(comma),$*)]'
	@touch $@ $(VENV)/native

# the C++ library follows its sources
$(VENV)/native: $(NATIVE) | $(BIN)/python
	$(if $(VEDETTE_REQUIRE),,@echo "no C++ compiler: NumPy will run in place of the kernels")
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(SITE_$(MACHINE)) $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info kernels/_native*.so kernels/vedette.fatbin* runtime/zoo/*
