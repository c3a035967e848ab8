# Shows results.json as text.

def pad($width): . + " " * ([$width - length, 0] | max);
def left($width): " " * ([$width - length, 0] | max) + .;
def fixed($digits): . as $value | pow(10; $digits) as $scale
  | ($value * $scale | round / $scale | tostring) as $text
  | if $digits == 0 then $text
    else ($text | split(".")) as [$whole, $part] | $whole + "." + (($part // "") + "0" * $digits)[:$digits] end;
def figure: if . == null then "-" elif . >= 100 then fixed(0) else fixed(2) end;
def value: if . == null then "-" else (if .cut_off then ">" else "" end) + (.median | figure) end;
def short: {"blockgraphfs": "ours", "blockgraphfs-user": "ours/user", "blockgraphfs-uring": "ours/uring", "second-qemu": "qemu-2nd"}[.] // .;

. as $all
| (.systems | keys_unsorted) as $systems
| ($systems | map(select(startswith("blockgraphfs") | not))) as $others
| "\(.settings.date), \(.settings.kernel), \(.settings.cpus) CPUs, images of \(.settings.size) MiB, \(.settings.rounds) rounds of \(.settings.seconds) s",
  (.systems | to_entries[] | "  \(.key | short | pad(12))\(.value)"),
  (.skipped | to_entries[] | "  \(.key | short | pad(12))skipped: \(.value)"),
  "",
  "Medians. On the right: how many times as good as each other one blockgraphfs (ours) is, the median of the ratios within each round;",
  "in parentheses mounted by an ordinary user, in brackets with requests through io_uring. `>`: cut off.",
  "",
  ("" | pad(40)) + ([$systems[] | short | left(11)] | add) + " |" + ([$others[] | "/ " + short | left(24)] | add // ""),
  (.workloads[] | . as $row
    | ("\(.name | pad(33)) \(.unit | pad(6))")
      + ([$systems[] | $row.systems[.] | value | left(11)] | add) + " |"
      + ([$others[] | . as $other
          | (($row.ratios.blockgraphfs[$other] | figure)
             + (if $row.ratios["blockgraphfs-user"][$other] then " (\($row.ratios["blockgraphfs-user"][$other] | figure))" else "" end)
             + (if $row.ratios["blockgraphfs-uring"][$other] then " [\($row.ratios["blockgraphfs-uring"][$other] | figure)]" else "" end))
          | left(24)] | add // "")),
  (if .aims == [] then empty else
    "",
    "Aims: \(.aims | map(select(.met)) | length) of \(.aims | length) met. At least so many times as good as what it is held against (`value`: at most so much).",
    "",
    ("workload" | pad(34)) + ("against" | pad(28)) + ("aim" | left(8)) + ("is" | left(10)) + ("as user" | left(10)) + ("io_uring" | left(10)),
    (.aims[] | (.workload | pad(34)) + (.against | short | pad(28)) + (.bound | figure | left(8)) + (.reached | figure | left(10))
      + (.reached_as_user | figure | left(10)) + (.reached_through_uring | figure | left(10)) + (if .met then "" else "  missed" end)) end)
