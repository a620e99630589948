#!/usr/bin/env bash
# The demos, as `./run demo [NAME] [OPTIONS]` starts them; OPTIONS are those of `sightglass detect`.
#
#   street   (default) people, cars and their tracks in a street scene
#   faces    faces in six photographs, each with age, gender and expression
#
# Results lie in out/demo and out/faces; SIGHTGLASS_DEMO_OUTPUT names another folder.
set -euo pipefail

root=${SIGHTGLASS_ROOT:-$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)}
name=street
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
  name=$1
  shift
fi

case $name in
  street)
    exec sightglass detect vtest --model centernet --threshold 0.4 --track \
      --output "${SIGHTGLASS_DEMO_OUTPUT:-$root/out/demo}" "$@"
    ;;
  faces)
    exec sightglass detect faces --model face --classify faceres emotion \
      --output "${SIGHTGLASS_DEMO_OUTPUT:-$root/out/faces}" "$@"
    ;;
  *)
    echo "error: no demo '$name'; there are: street, faces" >&2
    exit 2
    ;;
esac
