# Draws results.json: a row for each workload, a dot for each system, on a logarithmic axis. blockgraphfs is at 1; what is further
# right does better.

def colours: ["#888888", "#d62728", "#ff9896", "#8c1515", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e"];
def escaped: gsub("&"; "&amp;") | gsub("<"; "&lt;") | gsub(">"; "&gt;");
def row_height: 16;
def top: 70;
def begin: 270;
def span: 620;
def decades: 5; # from 0.001 to 100
def place: ((log10 + 3) / decades) as $at | begin + span * ([[$at, 0] | max, 1] | min);
def text($x; $y; $more): "<text x=\"\($x)\" y=\"\($y)\" \($more)>\(escaped)</text>";

(.systems | keys_unsorted) as $systems
| [.workloads[] | select(.systems.blockgraphfs.median)] as $rows
| (top + row_height * ($rows | length)) as $bottom
| "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(begin + span + 40)\" height=\"\($bottom + 30)\" font-family=\"sans-serif\" font-size=\"11\">",
  "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
  ("How each does beside blockgraphfs (1); further right is better. \(.settings.kernel), \(.settings.cpus) CPUs, images of \(.settings.size) MiB"
    | text(10; 18; "font-size=\"13\"")),
  ($systems | to_entries[] | (10 + .key * 130) as $x
    | "<circle cx=\"\($x + 4)\" cy=\"36\" r=\"4\" fill=\"\(colours[.key])\"/>", (.value | text($x + 12; 40; ""))),
  ((0.001, 0.01, 0.1, 1, 10, 100) as $at | ($at | place) as $x
    | "<line x1=\"\($x)\" x2=\"\($x)\" y1=\"\(top - 8)\" y2=\"\($bottom)\" stroke=\"\(if $at == 1 then "#d62728" else "#dddddd" end)\"/>",
      ($at | tostring | text($x; top - 11; "text-anchor=\"middle\""))),
  ($rows | to_entries[] | (top + row_height * (.key + 0.5)) as $y | .value as $row
    | ($row.name | text(10; $y + 4; "")),
      "<line x1=\"\(begin)\" x2=\"\(begin + span)\" y1=\"\($y)\" y2=\"\($y)\" stroke=\"#eeeeee\"/>",
      ($systems | to_entries[] | colours[.key] as $colour | $row.systems[.value].median | select(. and . > 0)
        | (if $row.better == "more" then . / $row.systems.blockgraphfs.median else $row.systems.blockgraphfs.median / . end | place) as $x
        | "<circle cx=\"\($x)\" cy=\"\($y)\" r=\"4\" fill=\"\($colour)\" fill-opacity=\"0.8\"/>")),
  "</svg>"
