#include <nlohmann/json.hpp>

#include "figures_json.h"
#include "report.h"
#include "uzswap_build.h"

namespace uzswap::cli {
namespace {

using Json = nlohmann::ordered_json;

Json GaugesOf(const Figures& figures) {
  Json json = Json::object();
  for (size_t i = 0; i < kFigureCount; ++i) {
    if (kFigureNames[i].kind == StatisticKind::kGauge) {
      json[kFigureNames[i].name] = figures.values[i];
    }
  }
  return json;
}

Json ProcessesOf(const Report& report) {
  Json list = Json::array();
  for (const ProcessReport& process : report.processes) {
    Json json = {{"pid", process.pid}, {"name", process.name}, {"running", process.running}};
    AddFigures(process.figures, json);
    list.push_back(std::move(json));
  }
  return list;
}

Json BoundOf(Bytes bytes) { return bytes == Bytes(0) ? Json(nullptr) : Json(bytes.raw()); }

void AddBacking(const Options& options, Json& json) {
  json["pool_limit"] = BoundOf(options.pool_limit);
  json["backing"] = options.backing[0] == '\0' ? Json(nullptr) : Json(options.backing);
  json["backing_size"] = BoundOf(options.backing_size);
  json["write_limit"] = BoundOf(options.write_limit);
  json["write_period_s"] =
      options.write_period_s == 0 ? Json(nullptr) : Json(options.write_period_s);
  json["encrypt"] = options.encrypt;
}

}  // namespace

std::string ToJson(const Report& report) {
  Json json;
  json["uzswap"] = kVersion;
  json["command"] = report.command;
  json["limit"] = report.options.limit.raw();
  json["engine"] = Name(report.options.engine);
  json["codec"] = Name(report.options.codec);
  json["pool"] = Name(report.options.pool);
  AddBacking(report.options, json);
  json["running"] = report.running;
  json["exit_status"] = report.running ? Json(nullptr) : Json(report.exit_status);
  json["signal"] = report.signal == 0 ? Json(nullptr) : Json(report.signal);
  json["wall_seconds"] = report.wall_seconds;
  AddFigures(report.total, json);
  json["at_exit"] = GaugesOf(report.at_exit);
  json["processes_seen"] = report.processes_seen;
  json["processes_unmanaged"] = report.processes_unmanaged;
  Json broker = Json::object();
  for (const auto& [name, count] : report.broker) broker[name] = count;
  json["broker"] = std::move(broker);
  json["processes"] = ProcessesOf(report);
  // Arguments need not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace uzswap::cli
