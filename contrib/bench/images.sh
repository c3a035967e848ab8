# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # they share variables with `run`
# The images that workloads run on. `make_image NAME ARGUMENT…` calls image_NAME, which makes what is not there yet and sets
#   image, format  what systems that know formats open; with the format nbd an NBD server's URI
#   twin           a raw file of the same content, for those that do not
# Images that a workload fills are made anew for each measurement. $size is in MiB.

image='' format='' twin=''
images='' # the directory

make_image() {
  "image_$1" "${@:2}"
  if (($(id -u) == 0)); then
    chown "$user_id" "$images"/*
  fi
}

remove_images() {
  rm -f "$images"/*
}

quiet_convert() {
  qemu-img convert -q "$@" || fail "qemu-img convert $* failed"
}

quiet_create() {
  qemu-img create -q "$@" || fail "qemu-img create $* failed"
}

# Bytes without pattern, as many MiB, once for all that asks for them.
content() {
  if [[ ! -e $images/content-$1 ]]; then
    random_bytes "${1}M" 1 >"$images/content-$1"
  fi
  printf '%s' "$images/content-$1"
}

# Plain bytes.
image_raw() {
  image=$images/plain.raw format=raw twin=$image
  [[ -e $image ]] || cp "$(content "$size")" "$image"
}

# Plain bytes that an NBD server shows, the one that nbdfuse needs in any case.
image_nbd() {
  image_raw
  image="nbd+unix:///?socket=$nbd_socket" format=nbd
}

# All clusters allocated.
image_qcow2() {
  image=$images/full.qcow2 format=qcow2 twin=$(content "$size")
  [[ -e $image ]] || quiet_convert -f raw -O qcow2 "$twin" "$image"
}

# What a virtual machine has given back to its host it has to fetch again: else whoever allocates first would pay for all.
touch_memory() {
  head -c "${size}M" /dev/zero >"$images/memory"
  rm -f "$images/memory"
}

# empty FACTOR: nothing allocated, FACTOR times $size large. For others a file of holes.
image_empty() {
  image=$images/empty.qcow2 format=qcow2 twin=$images/empty.raw
  rm -f "$image" "$twin"
  quiet_create -f qcow2 "$image" "$(($1 * size))M"
  truncate -s "$(($1 * size))M" "$twin"
  touch_memory
}

# An empty overlay on the full image.
image_overlay() {
  image_qcow2
  local backing=$image
  image=$images/overlay.qcow2 twin=$images/overlay.raw
  rm -f "$image" "$twin"
  quiet_create -f qcow2 -b "$backing" -F qcow2 "$image"
  truncate -s "${size}M" "$twin"
  touch_memory
}

# chain LENGTH top|base: so many images, with all data in the one on top, or in the one at the base.
image_chain() {
  local length=$1 where=$2 stem=$images/chain-$1-$2 number below
  image=$stem-$length.qcow2 format=qcow2 twin=$(content "$((size / 4))")
  [[ -e $image ]] && return
  if [[ $where == base ]] || ((length == 1)); then
    quiet_convert -f raw -O qcow2 "$twin" "$stem-1.qcow2"
  else
    quiet_create -f qcow2 "$stem-1.qcow2" "$((size / 4))M"
  fi
  for ((number = 2; number <= length; number++)); do
    below=$stem-$((number - 1)).qcow2
    if [[ $where == top ]] && ((number == length)); then
      quiet_convert -f raw -O qcow2 -B "$below" -F qcow2 "$twin" "$stem-$number.qcow2"
    else
      quiet_create -f qcow2 -b "$below" -F qcow2 "$stem-$number.qcow2"
    fi
  done
}

# disk GIB: all tables are there, no data is: what metadata costs. 
image_disk() {
  image=$images/disk-$1.qcow2 format=qcow2 twin=$images/disk-$1.raw
  [[ -e $image ]] && return
  quiet_create -f qcow2 -o preallocation=metadata "$image" "${1}G"
  truncate -s "${1}G" "$twin"
}

# 1 TiB with a little data: $size / 16 MiB at its begin, as much at its end.
image_sparse() {
  local piece=$((size / 16))
  image=$images/sparse.qcow2 format=qcow2 twin=$images/sparse.raw
  [[ -e $image ]] && return
  random_bytes "${piece}M" 2 >"$twin"
  truncate -s "$((1048576 - piece))M" "$twin"
  random_bytes "${piece}M" 3 >>"$twin"
  quiet_convert -f raw -O qcow2 "$twin" "$image"
}

# A tar file of sources: this project's, so many times that there are some thousand files.
source_tree() {
  local copy
  tree=$scratch/tree.tar
  [[ -e $tree ]] && return
  for copy in 1 2 3 4 5 6 7 8; do
    tar -C "$source_dir" --transform "s|^|tree-$copy/|" -rf "$tree" drivers graph fs tests contrib docs
  done
}

# ext4 in a disk, with the source tree in it. For each measurement a copy.
image_ext4() {
  local template=$images/ext4-template
  image=$images/ext4.qcow2 format=qcow2 twin=$images/ext4.raw
  source_tree
  if [[ ! -e $template.raw ]]; then
    truncate -s 1G "$template.raw"
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$template.raw"
    with_file_system "$template.raw" tar -C "$scratch/fs" -xf "$tree"
    quiet_convert -f raw -O qcow2 "$template.raw" "$template.qcow2"
  fi
  cp --sparse=always "$template.raw" "$twin"
  cp --sparse=always "$template.qcow2" "$image"
}
