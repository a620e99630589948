#!/usr/bin/env bash
# The demos, as `./run demo [NAME] [OPTIONS]` starts them; OPTIONS are those of `sightglass detect`.
#
#   street   (default) people, cars and their tracks in a street scene
#   faces    faces in six photographs, each with age, gender and expression
#   module   four virtual streams in one module, of which one breaks down and comes back, again and again
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
  module)
    out=${SIGHTGLASS_DEMO_OUTPUT:-$root/out/module}
    mkdir -p "$out"
    clip=$out/street.mp4
    if [ ! -e "$clip" ]; then
      vtest=$(sightglass models list --paths vtest | cut -f 2)
      sightglass run --quiet "filesrc location=$vtest ! decodebin ! videoconvert ! openh264enc bitrate=2000000 gop-size=10 !
        h264parse ! mp4mux ! filesink location=$clip.part"
      mv "$clip.part" "$clip"
    fi
    echo "Four streams share one model: street-0 to street-2 are well, on broken-0 a function fails. Watch the"
    echo "others while it fails, is quarantined, and is tried again. The results lie in $out."
    SIGHTGLASS_PARAM_CLIP=$clip SIGHTGLASS_PARAM_RESULTS=$out exec sightglass run "$root/samples/demo/module.yml" "$@"
    ;;
  *)
    echo "error: no demo '$name'; there are: street, faces, module" >&2
    exit 2
    ;;
esac
