#!/usr/bin/env python3
"""Writes a C++ source that costs a compiler hundreds of megabytes: deep and wide templates.

    templates.py FILE UNITS
"""

from __future__ import annotations

import sys
from pathlib import Path

HEAD = """
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

template <int N, typename... Ts>
struct Deep {
  using Inner = Deep<N - 1, std::tuple<std::array<char, N>, int>, Ts...>;
  static int Run(int x) { return Inner::Run(x + N) ^ static_cast<int>(sizeof...(Ts)); }
};
template <typename... Ts>
struct Deep<0, Ts...> {
  static int Run(int x) { return x * static_cast<int>(sizeof(std::tuple<Ts...>)); }
};
"""

UNIT = """
struct Kind@ {{ int value = @; std::string name = "kind @"; }};
inline bool operator<(const Kind@& a, const Kind@& b) {{ return a.name < b.name; }}
int Unit@(const std::vector<int>& in) {{
  std::map<Kind@, std::vector<std::string>> table;
  std::variant<Kind@, int, std::string> choice = Kind@{{}};
  for (int x : in) table[Kind@{{x, std::to_string(x)}}].push_back(std::to_string(x * @));
  std::vector<std::pair<std::string, Kind@>> flat;
  for (const auto& [kind, list] : table)
    for (const auto& text : list) flat.emplace_back(text, kind);
  std::sort(flat.begin(), flat.end(), [](const auto& a, const auto& b) {{
    return a.first != b.first ? a.first < b.first : a.second < b.second;
  }});
  std::function<int(int)> fold = [&](int x) {{ return x + static_cast<int>(flat.size()); }};
  if (in.size() > {cut}) choice = std::string("many");
  const int seen = std::visit([](const auto& x) {{ return static_cast<int>(sizeof(x)); }}, choice);
  return std::accumulate(in.begin(), in.end(), seen, [&](int a, int b) {{ return fold(a) ^ b; }}) +
         Deep<{depth}, Kind@>::Run(@);
}}
"""


def source(units: int) -> str:
    parts = [HEAD]
    for number in range(units):
        unit = UNIT.format(cut=number + 3, depth=24 + number % 8)
        parts.append(unit.replace("@", str(number)))
    calls = " + ".join(f"Unit{number}(in)" for number in range(units))
    parts.append(f"\nint All(const std::vector<int>& in) {{ return {calls}; }}\n")
    return "".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(source(int(sys.argv[2])))
