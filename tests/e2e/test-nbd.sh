#!/bin/bash
# NBD: exports of real servers (nbdkit, qemu-nbd, nbd-server) as nodes: read and written, alone, below formats and as backing disks; holes,
# TLS, read-only servers, what images may name.
. "$(dirname "$0")/lib.sh"
need_fuse
need_write_through
need_tools nbdkit qemu-nbd qemu-img jq openssl
grep -qw nbd <<<"$("$BLOCKGRAPHFS" --list-drivers)" || skip "built without libnbd"

# serve SOCKET COMMAND…: starts a server and waits until it listens; its process is $server.
serve() {
  local socket=$1
  shift
  rm -f "$socket"
  "$@" >server.log 2>&1 &
  server=$!
  own_processes+=("$server")
  wait_for 20 "the server listens ($*)" test -S "$socket"
}

# Not kindly: nbdkit would wait for its clients.
end_server() {
  kill -KILL "$server"
  wait "$server" 2>/dev/null || true
}

# option_of NODE NAME MOUNTPOINT: a fact of a node.
fact() {
  jq -r --arg name "$1" --arg fact "$2" '.nodes[] | select(."node-name" == $name) | .info[$fact]' "$3/.graph/nodes.json"
}

uri() {
  printf 'nbd+unix:///disk?socket=%s/%s' "$PWD" "$1"
}

random_bytes $((5 << 20)) 31 >some.raw

note "nbdkit: read, write, compare"
truncate -s 32M disk.raw
serve s1 nbdkit -f -U "$PWD/s1" file disk.raw
mount_graph mnt "$(uri s1)"
assert_equal "$(stat -c %s mnt/disk)" $((32 << 20)) size
assert_equal "$(attribute mnt/disk filename)" "$(uri s1)" "file name"
dd if=some.raw of=mnt/disk bs=100k seek=10 conv=notrunc,fsync status=none
cmp -n $((5 << 20)) some.raw disk.raw 0 $((1000 << 10)) >&2 || fail "what was written is not at the server"
assert_same mnt/disk disk.raw
open_mode_is() {
  [[ $(attribute "$1" open-mode) == "$2" ]]
}
fact_is() {
  [[ $(fact "$1" "$2" mnt) == "$3" ]]
}
wait_for 10 "the node is read-only again" open_mode_is mnt/disk.file read-only
wait_for 10 "there are 4 connections" fact_is disk.file connections 4

note "holes are told, and made"
cp --sparse=always mnt/disk copy.raw
assert_same copy.raw disk.raw
"$BLOCKGRAPHFS" map --json "$(uri s1)" >map.json
assert_equal "$(jq -c '[.[] | select(.data)] | map(.length) | add' map.json)" \
  "$(qemu-img map --output=json -f raw disk.raw | jq -c '[.[] | select(.data)] | map(.length) | add')" "bytes of data"
fallocate -p -o $((1 << 20)) -l $((2 << 20)) mnt/disk
sync mnt/disk
assert_same mnt/disk disk.raw
cmp -n $((2 << 20)) disk.raw /dev/zero $((1 << 20)) >&2 || fail "no hole was punched"
(($(stat -c %b disk.raw) * 512 < 6 << 20)) || fail "the hole takes space at the server"
fallocate -z -o $((8 << 20)) -l $((1 << 20)) mnt/disk
truncate -s $((4 << 20)) mnt/disk
assert_equal "$(stat -c %s mnt/disk)" $((32 << 20)) "size after truncation"
cmp -n $((28 << 20)) disk.raw /dev/zero $((4 << 20)) >&2 || fail "the truncated rest does not read as zeros"
unmount mnt
end_server

note "qcow2 over nbd, judged by qemu-img"
qemu-img create -q -f qcow2 image.qcow2 64M
truncate -s 16M image.qcow2 # an export does not grow
serve s2 qemu-nbd -t -e 4 -f raw -k "$PWD/s2" -x disk image.qcow2
mount_graph mnt "$(uri s2)"
assert_equal "$(attribute mnt/disk driver)" qcow2 driver
dd if=some.raw of=mnt/disk bs=64k seek=3 conv=notrunc status=none
unmount mnt
end_server
assert_clean image.qcow2
qemu-img convert -f qcow2 -O raw image.qcow2 content.raw
cmp -n $((5 << 20)) some.raw content.raw 0 $((192 << 10)) >&2 || fail "the image holds something else"

note "an overlay on a file whose base is on a server; what images name is refused unless it is allowed"
serve s3 nbdkit -f -U "$PWD/s3" file content.raw
qemu-img create -q -u -f qcow2 -b "$(uri s3)" -F raw top.qcow2 64M
assert_fails "allow it with: --allow-reference 'nbd\\+unix" "$BLOCKGRAPHFS" top.qcow2 mnt
assert_fails "allow it with" "$BLOCKGRAPHFS" --allow-reference nbd: top.qcow2 mnt
mount_graph mnt --allow-reference nbd+unix: top.qcow2
assert_equal "$(attribute mnt/top.backing.file driver)" nbd "driver of the base"
assert_same mnt/top content.raw
before=$(digest content.raw)
dd if=/dev/urandom of=mnt/top bs=64k count=4 conv=notrunc status=none
cmp -n $((1 << 20)) mnt/top.backing content.raw >&2 || fail "the base changed"
unmount mnt
assert_equal "$(digest content.raw)" "$before" "the base"
mount_graph mnt --blockdev "driver=qcow2,node-name=top,file.driver=file,file.filename=top.qcow2,auto-read-only=on,backing.driver=raw,backing.file.driver=nbd,backing.file.server.type=unix,backing.file.server.path=$PWD/s3,backing.file.export=disk"
head -c $((1 << 20)) mnt/top >/dev/null
unmount mnt
assert_clean top.qcow2
end_server

note "a read-only server"
serve s4 nbdkit -f -r -U "$PWD/s4" file disk.raw
mount_graph mnt "$(uri s4)"
assert_mode mnt/disk 400 5
assert_equal "$(attribute mnt/disk write-state)" unwritable state
assert_matches "$(attribute mnt/disk reason)" "NBD server 'nbd\+unix.*s4' exports it read-only" reason
assert_open_fails "Read-only file system" mnt/disk
assert_same mnt/disk disk.raw
mkdir -p other
assert_fails "exports it read-only" "$BLOCKGRAPHFS" --blockdev "driver=nbd,node-name=d,server.type=unix,server.path=$PWD/s4" other
end_server
note "which comes back writable"
serve s4 nbdkit -f -U "$PWD/s4" file disk.raw
assert_mode mnt/disk 600 10
printf x | dd of=mnt/disk bs=1 seek=77 conv=notrunc,fsync status=none
assert_equal "$(dd if=disk.raw bs=1 skip=77 count=1 status=none)" x "what was written"
unmount mnt
end_server

note "a server on the network: who can reach it himself may read"
listens() {
  { : <>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}
serve_tcp() {
  local i
  for ((i = 0; i < 20; i++)); do
    port=$((20000 + RANDOM % 20000))
    "${@//PORT/$port}" >server.log 2>&1 &
    server=$!
    own_processes+=("$server")
    if poll 3 listens "$port"; then return; fi
  done
  fail "no server listens: $(<server.log)"
}
serve_tcp nbdkit -f -r -i 127.0.0.1 -p PORT file disk.raw
mount_graph mnt "nbd://127.0.0.1:$port/disk"
assert_mode mnt/disk 444 5
assert_same mnt/disk disk.raw
unmount mnt
end_server

if command -v nbd-server >/dev/null; then
  note "nbd-server, which tells neither holes nor sizes of blocks"
  # shellcheck disable=SC2016 # where the port will stand
  printf '[generic]\nlistenaddr = 127.0.0.1\nport = %s\n[disk]\nexportname = %s\nflush = true\ntrim = true\n' \
    '$0' "$PWD/disk.raw" >nbd.conf
  # shellcheck disable=SC2016 # for the shell that is started
  serve_tcp bash -c 'sed -i "s/^port = .*/port = $0/" nbd.conf && nbd-server -C "$PWD/nbd.conf" -p "$PWD/nbd.pid"' PORT
  mount_graph mnt "nbd://127.0.0.1:$port/disk"
  dd if=some.raw of=mnt/disk bs=10000 seek=3 conv=notrunc,fsync status=none
  cmp -n $((5 << 20)) some.raw disk.raw 0 30000 >&2 || fail "what was written is not at the server"
  assert_same mnt/disk disk.raw
  unmount mnt
  kill "$(<nbd.pid)"
fi

note "pre-shared keys"
if command -v psktool >/dev/null; then
  psktool -u joe -p keys.psk >/dev/null 2>&1
  psktool -u joe -p wrong.psk >/dev/null 2>&1
  serve s5 nbdkit -f --tls=require "--tls-psk=$PWD/keys.psk" -U "$PWD/s5" file disk.raw
  mount_graph mnt "nbds+unix://joe@/disk?socket=$PWD/s5&tls-psk-file=$PWD/keys.psk"
  assert_equal "$(fact disk.file tls mnt)" true "TLS"
  assert_same mnt/disk disk.raw
  unmount mnt
  assert_fails "NBD server '.*'" "$BLOCKGRAPHFS" "$(uri s5)" mnt
  assert_fails "NBD server '.*'" "$BLOCKGRAPHFS" "nbds+unix://joe@/disk?socket=$PWD/s5&tls-psk-file=$PWD/wrong.psk" mnt
  end_server
fi

note "certificates"
if command -v certtool >/dev/null; then
  mkdir pki
  certtool --generate-privkey --ecc --outfile pki/ca-key.pem 2>/dev/null
  printf 'cn = "ca"\nca\ncert_signing_key\n' >pki/ca.info
  certtool --generate-self-signed --load-privkey pki/ca-key.pem --template pki/ca.info --outfile pki/ca-cert.pem 2>/dev/null
  certtool --generate-privkey --ecc --outfile pki/server-key.pem 2>/dev/null
  printf 'organization = "x"\ncn = "localhost"\ndns_name = "localhost"\nip_address = "127.0.0.1"\ntls_www_server\nencryption_key\nsigning_key\n' >pki/server.info
  certtool --generate-certificate --load-ca-certificate pki/ca-cert.pem --load-ca-privkey pki/ca-key.pem --load-privkey pki/server-key.pem \
    --template pki/server.info --outfile pki/server-cert.pem 2>/dev/null
  mkdir trust
  cp pki/ca-cert.pem trust/
  serve_tcp nbdkit -f --tls=require "--tls-certificates=$PWD/pki" -i 127.0.0.1 -p PORT file disk.raw
  mount_graph mnt --blockdev "driver=nbd,node-name=disk,server.type=inet,server.host=127.0.0.1,server.port=$port,tls-creds=$PWD/trust,auto-read-only=on"
  assert_equal "$(fact disk tls mnt)" true "TLS"
  assert_mode mnt/disk 600
  assert_same mnt/disk disk.raw
  unmount mnt
  assert_fails "needs credentials" "$BLOCKGRAPHFS" "nbds://127.0.0.1:$port/disk" mnt
  mkdir stranger
  certtool --generate-self-signed --load-privkey pki/server-key.pem --template pki/ca.info --outfile stranger/ca-cert.pem 2>/dev/null
  assert_fails "[Cc]ertificate" "$BLOCKGRAPHFS" "nbds://127.0.0.1:$port/disk?tls-certificates=$PWD/stranger" mnt
  end_server
fi

note "words for what does not work"
assert_fails "nobody'.*No such file|nobody.*connect" "$BLOCKGRAPHFS" "$(uri nobody)" mnt
assert_fails "names no socket" "$BLOCKGRAPHFS" "nbd+unix:///disk" mnt
assert_fails "option 'server.path' is missing" "$BLOCKGRAPHFS" --blockdev driver=nbd,node-name=d,server.type=unix mnt
