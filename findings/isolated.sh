# Shared by the findings: run a Python script with pinned packages in a temporary folder.
#
# Source it, then call: run_isolated "package==1 package==2" < script.py
# The script's working directory is the temporary folder, which is removed afterwards. A script ends
# with a status other than 0 when the behaviour is no longer as described.
set -euo pipefail

run_isolated() {
  local folder status=0
  folder=$(mktemp -d)
  cat > "$folder/script.py"
  "${PYTHON:-python3}" -m venv "$folder/env"
  # shellcheck disable=SC2086 # one argument for each package
  "$folder/env/bin/pip" install -q --disable-pip-version-check $1
  "$folder/env/bin/python" -V
  echo "$1"
  (cd "$folder" && env/bin/python script.py) || status=$?
  rm -rf "$folder"
  return "$status"
}
