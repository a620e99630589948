#include "sightglass/cli/send_command.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <print>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/into_socket.h"
#include "sightglass/adapters/record.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/signals.h"
#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"

namespace sightglass::cli {
namespace {

using namespace std::chrono_literals;

// --- send
// ------------------------------------------------------------------------------------------------------

struct SendOptions {
  std::string location, to, source_id, pace = "asap", secret_key_file, server_key;
  unsigned count = 1, loop = 0;
  double rate = 0;
};

Status set_all(ParamSet& params, const std::vector<std::pair<std::string, std::string>>& settings) {
  for (const auto& [key, value] : settings)
    if (!value.empty())
      if (Status set = params.set_text(key, value); !set) return set;
  return {};
}

Result<std::unique_ptr<adapters::Source>> source_for(const SendOptions& options) {
  const bool many = options.count > 1;
  const adapters::SourceDesc& desc = *adapters::find_source(many ? "multi" : "video_file");
  ParamSet params(desc.params);
  const Status set =
      many ? set_all(params, {{"location", options.location},
                              {"id-pattern", options.source_id.empty() ? "" : options.source_id + "-{n}"},
                              {"count", std::to_string(options.count)},
                              {"lives", std::to_string(options.loop + 1)},
                              {"rate", std::to_string(options.rate)}})
           : set_all(params, {{"location", options.location},
                              {"source-id", options.source_id},
                              {"pace", options.pace},
                              {"loop", std::to_string(options.loop)}});
  if (!set) return std::unexpected(set.error());
  return desc.create(params, {.name = "send"});
}

int send(const SendOptions& options) {
  const auto url = stream::parse_writer_url(options.to, "--to");
  if (!url) return complain(url.error());
  auto source = source_for(options);
  if (!source) return complain(source.error());
  if (Status started = (*source)->start(); !started) return complain(started.error());
  stream::ZmqWriterOptions writer_options;
  writer_options.name = "sightglass send";
  writer_options.socket.curve = {.secret_key_file = options.secret_key_file,
                                 .server_key = options.server_key};
  auto opened = stream::ZmqWriter::open(*url, writer_options);
  if (!opened) return complain(opened.error());
  const std::shared_ptr<stream::ZmqWriter> writer = std::move(*opened);
  for (const std::string& warning : writer->warnings()) std::println(stderr, "warning: {}", warning);

  const StopOnSignal stop;
  const auto outlet = std::make_shared<adapters::SocketOutlet>(writer);
  adapters::IntoSocket out(outlet, stop.token());
  const auto begin = std::chrono::steady_clock::now();
  const Status sent = (*source)->run(out, stop.token());
  if (!sent) return complain(sent.error());
  if (const auto error = outlet->error()) return complain(*error);
  while (!stop.token().stop_requested() && !writer->flush(1s)) {
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto statistics = writer->statistics();
  std::print(stderr, "{} frames in {:.1f} s", outlet->frames(), seconds);
  if (stream::acknowledges(url->type))
    std::print(stderr, ", {} messages acknowledged, {} refused", statistics.acknowledged, statistics.refused);
  if (statistics.dropped > 0) std::print(stderr, ", {} dropped for slow readers", statistics.dropped);
  if (const uint64_t count = outlet->unsendable())
    std::print(stderr, ", {} could not be sent: {}", count, outlet->unsendable_reason());
  std::println(stderr, "");
  if (stop.token().stop_requested()) return 130;
  return statistics.refused + outlet->unsendable() > 0 ? 1 : 0;
}

// --- recv
// ------------------------------------------------------------------------------------------------------

struct ReceiveOptions {
  std::string address, secret_key_file, server_key, allowed_keys_dir;
  std::vector<std::string> sources;
  uint64_t limit = 0;
  unsigned ends = 0;
  bool notes = false, quiet = false;
};

int receive(const ReceiveOptions& options) {
  const auto url = stream::parse_reader_url(options.address, "ADDRESS");
  if (!url) return complain(url.error());
  stream::ZmqReaderOptions reader_options;
  reader_options.name = "sightglass recv";
  reader_options.sources = options.sources;
  reader_options.socket.curve = {.secret_key_file = options.secret_key_file,
                                 .server_key = options.server_key,
                                 .allowed_keys_dir = options.allowed_keys_dir};
  auto reader = stream::ZmqReader::open(*url, reader_options);
  if (!reader) return complain(reader.error());
  if (!options.quiet) std::println(stderr, "reading {}", (*reader)->url().to_string());

  const StopOnSignal stop([&] { (*reader)->interrupt(); });
  uint64_t frames = 0;
  unsigned ends = 0;
  std::string line;
  int code = 0;
  while (!stop.token().stop_requested() && (options.limit == 0 || frames < options.limit) &&
         (options.ends == 0 || ends < options.ends)) {
    auto received = (*reader)->next(200ms);
    if (!received) return complain(received.error());
    if (!*received) continue;
    const stream::Delivery& delivery = (*received)->delivery;
    if (const adapters::RecordRef record = adapters::record_of(delivery)) {
      const bool is_frame = record->kind == adapters::RecordKind::frame;
      frames += is_frame;
      ends += record->kind == adapters::RecordKind::end_of_stream;
      if (is_frame || options.notes) {
        line.clear();
        adapters::write_record_json(*record, line);
        line += '\n';
        if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) {
          code = 1;  // whoever read it has gone
          break;
        }
      }
    }
    if (delivery.settlement) delivery.settlement->processed();
  }
  // So that the last acknowledgements leave.
  for (int i = 0; i < 2; ++i) (void)(*reader)->next(30ms);
  const auto statistics = (*reader)->statistics();
  if (!options.quiet)
    std::println(stderr, "{} frames, {} lost, {} refused as malformed", frames, statistics.lost,
                 (*reader)->rejected());
  return code;
}

}  // namespace

void add_send_command(CLI::App& app) {
  const auto options = std::make_shared<SendOptions>();
  auto* command = app.add_subcommand("send", "Send a video to a module, or any reader of messages");
  command->add_option("FILE", options->location, "file or URL")->required();
  command->add_option("--to", options->to, "address, as dealer+connect:tcp://127.0.0.1:5560")->required();
  command->add_option("--source-id", options->source_id, "name of the stream; default: from the file's");
  command->add_option("--pace", options->pace, "asap, realtime, or a factor of the recorded speed");
  command->add_option("--loop", options->loop, "how often it is repeated");
  command->add_option("--count", options->count, "so many streams of it, named ID-0, ID-1, …")
      ->check(CLI::Range(1, 10'000));
  command->add_option("--rate", options->rate,
                      "with --count: frames per second of each; 0: as fast as they are taken");
  command->add_option("--secret-key-file", options->secret_key_file, "own key, for encryption");
  command->add_option("--server-key", options->server_key, "public key of the reader");
  command->callback([options] { exit_with(send(*options)); });
}

void add_recv_command(CLI::App& app) {
  const auto options = std::make_shared<ReceiveOptions>();
  auto* command = app.add_subcommand("recv", "Print what a module sends, a line of JSON per frame");
  command->add_option("ADDRESS", options->address, "as sub+connect:tcp://127.0.0.1:5561")->required();
  command->add_option("--source", options->sources, "only these streams");
  command->add_option("--limit", options->limit, "end after so many frames");
  command->add_option("--ends", options->ends, "end after so many ends of streams");
  command->add_flag("--notes", options->notes, "also what is said about streams");
  command->add_flag("--quiet", options->quiet, "nothing on stderr");
  command->add_option("--secret-key-file", options->secret_key_file, "own key, for encryption");
  command->add_option("--server-key", options->server_key, "public key of the writer");
  command->add_option("--allowed-keys-dir", options->allowed_keys_dir,
                      "public keys of those who may connect");
  command->callback([options] { exit_with(receive(*options)); });
}

}  // namespace sightglass::cli
