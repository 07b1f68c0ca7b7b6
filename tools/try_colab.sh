#!/usr/bin/env bash
# The set-up cell and three lessons in an environment of Colab's versions, with a stand-in for google.colab.
#
#   PYTHON=python3.12 tools/try_colab.sh
#
# The versions are those that github.com/googlecolab/backend-info published in June 2026 (pip-freeze.gpu.txt, 03a8903),
# of what the package and its lessons import; torch is the one in constraints.txt, since Colab's is built for CUDA.
# Where a lesson installs from GitHub, git takes main's last commit from here, which must be a full clone.
# Prints what pip changed; fails if that was torch or ipywidgets, or if a lesson fails.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD at=$PWD/.make/colab
rm -rf "$at" && "${PYTHON:-python3.12}" -m venv "$at/venv"
python=$at/venv/bin/python
"$python" -m pip install -q pip==24.1.2
"$python" -m pip install -q "$(grep '^torch==' constraints.txt)"
"$python" -m pip install -q accelerate==1.13.0 anywidget==0.9.21 diffusers==0.37.1 einops==0.8.2 filelock==3.29.0 \
    fsspec==2025.3.0 huggingface_hub==1.17.0 ipykernel==6.17.1 ipython==7.34.0 ipywidgets==7.7.1 jupyter_client==7.4.9 \
    jupyterlab_widgets==3.0.16 matplotlib==3.10.0 matplotlib-inline==0.2.2 nbclient==0.10.4 nbformat==5.10.4 \
    numpy==2.0.2 opencv-python-headless==4.13.0.92 packaging==26.2 peft==0.19.1 pillow==11.3.0 psutil==5.9.5 \
    pyzmq==26.2.1 safetensors==0.7.0 scikit-image==0.25.2 scikit-learn==1.6.1 scipy==1.16.3 sentencepiece==0.2.1 \
    tokenizers==0.22.2 tornado==6.5.1 tqdm==4.67.3 traitlets==5.7.1 transformers==5.9.0 widgetsnbextension==3.6.10 \
    setuptools==75.2.0 wheel

mkdir -p "$at/stand_in/google" && touch "$at/stand_in/google/__init__.py" "$at/stand_in/google/colab.py"
echo 'import google.colab' > "$at/stand_in/sitecustomize.py"
git config -f "$at/gitconfig" "url.file://$root.insteadOf" "$(sed -n 's/^Homepage = "\(.*\)"/\1/p' pyproject.toml)"
git config -f "$at/gitconfig" safe.directory '*'
export GIT_CONFIG_GLOBAL=$at/gitconfig PYTHONPATH=$at/stand_in HF_HUB_OFFLINE=1 PATH=$at/venv/bin:$PATH
"$python" -m pip freeze > "$at/before.txt"
cp notebooks/{00_start_here,07_reverse,10_real_model}.ipynb "$at"
cd "$at"
for lesson in *.ipynb; do
    echo "$lesson"
    jupyter-execute --timeout=900 "$lesson"
done
"$python" -m pip freeze > after.txt
diff before.txt after.txt || true
! diff before.txt after.txt | grep -E '^[<>] (torch|ipywidgets)=='
