# Turns the benchmark's lines (settings, systems, workloads, measured values) into results.json: medians, and the medians of the
# ratios within each round. A ratio above 1 says that blockgraphfs is the better one. A value with a `+` was cut off: it is at least so much.

def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor]
  else (.[length / 2 - 1] + .[length / 2]) / 2 end;

[inputs / "\t"] as $lines
| ($aims / "\n" | map(select(test("^[^#]")) | [splits(" +")])) as $aims
| def rows($kind): $lines | map(select(.[0] == $kind) | .[1:]);
  def ours: ["blockgraphfs", "blockgraphfs-user", "blockgraphfs-uring"];

  (reduce rows("value")[] as [$workload, $system, $round, $value] ({};
    .[$workload][$system] += [{round: ($round | tonumber), value: ($value | rtrimstr("+") | tonumber), cut_off: ($value | endswith("+"))}]
  )) as $values

| def ratio($better; $mine; $other): if $better == "more" then $mine / $other else $other / $mine end;

  # of one workload: of each of our systems against each other one, round by round
  def ratios($better):
    . as $systems
    | reduce (ours[] | select($systems[.])) as $mine ({};
        .[$mine] = (reduce ($systems | keys[] | select(IN(ours[]) | not)) as $other ({};
          .[$other] = ([$systems[$mine][] as $a | $systems[$other][] | select(.round == $a.round and .value > 0 and $a.value > 0)
            | ratio($better; $a.value; .value)] | median))));

  def summary: map_values({median: (map(.value) | median), cut_off: any(.[]; .cut_off), values: map(.value)});

  (rows("workload") | map(. as [$name, $unit, $better]
    | ($values[$name] // {}) as $systems
    | {name: $name, unit: $unit, better: $better, systems: ($systems | summary), ratios: ($systems | ratios($better))})) as $workloads

| ($workloads | map({key: .name, value: .}) | from_entries) as $by_name

| def reached($system; $against):
    if $against == "value" then .systems[$system].median
    elif $against | startswith("@") then
      .better as $better | .systems[$system].median as $mine
      | $by_name[$against[1:]].systems[$system].median as $other
      | if $mine and $other then ratio($better; $mine; $other) else null end
    else .ratios[$system][$against] end;

  {
    settings: (rows("setting") | map({key: .[0], value: (.[1] | tonumber? // .)}) | from_entries),
    systems: (rows("system") | map({key: .[0], value: .[1]}) | from_entries),
    skipped: (rows("skipped") | map({key: .[0], value: .[1]}) | from_entries),
    workloads: $workloads,
    aims: [$aims[] as [$pattern, $against, $bound] | ($bound | tonumber) as $bound
      | $workloads[] | select(.name | test($pattern))
      | {workload: .name, against: $against, bound: $bound}
        + {reached: reached("blockgraphfs"; $against), reached_as_user: reached("blockgraphfs-user"; $against), reached_through_uring: reached("blockgraphfs-uring"; $against)}
      | select(.reached)
      | .met = (if $against == "value" then .reached <= $bound else .reached >= $bound end)]
  }
