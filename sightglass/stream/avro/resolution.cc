#include "sightglass/stream/avro/resolution.h"

namespace sightglass::stream::avro {

struct Resolution::Plan {
  enum class Op : uint8_t {
    never,      // no value can be read
    copy,       // `size` bytes
    varint,     // int and long
    to_float,   // int and long
    to_double,  // int and long
    float_to_double,
    sized,       // string and bytes
    symbol,      // through `numbers`
    list,        // array and map (with keys) of parts[0]
    from_union,  // parts by branch
    into_union,  // branch `size`, then parts[0]
    record
  };
  Op op = Op::never;
  bool keys = false;
  size_t size = 0;
  std::vector<const Plan*> parts;
  std::vector<int64_t> numbers;  // symbol: that of the reader, −1 for none

  // record: what to do for each field of the writer, and what the reader's fields are in the end
  struct Step {
    const Plan* plan = nullptr;  // null: skip `skipped`
    const Node* skipped = nullptr;
    size_t target = 0;
  };
  std::vector<Step> steps;
  std::vector<std::vector<uint8_t>> defaults;  // by field of the reader; empty where the writer has it
  bool in_order = true;                        // targets rise
};

using Plan = Resolution::Plan;
using Op = Plan::Op;

namespace {

std::string_view last_name(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// By the name without its namespace, as the specification has it, or by an alias of the reader's.
bool same_name(const Node& writer, const Node& reader) {
  return last_name(writer.name) == last_name(reader.name) ||
         std::ranges::any_of(reader.aliases, [&](const std::string& alias) {
           return alias == writer.name || last_name(alias) == last_name(writer.name);
         });
}

}  // namespace

class Resolver {
 public:
  explicit Resolver(Resolution& resolution) : resolution_(resolution) {}

  // Null where nothing of the writer's could be read; error() tells the first reason.
  const Plan* resolve(const Node& writer, const Node& reader, const std::string& where) {
    const auto [known, is_new] = known_.try_emplace({&writer, &reader});
    // What is being resolved already is taken to be possible; where it turns out not to be, its plan says so.
    if (!is_new) return known->second->op == Op::never && known->second->size ? nullptr : known->second;
    Plan& plan = add();
    known->second = &plan;
    const bool possible = writer.type == Type::union_   ? from_union(writer, reader, plan, where)
                          : reader.type == Type::union_ ? into_union(writer, reader, plan, where)
                                                        : plain(writer, reader, plan, where);
    if (possible) return &plan;
    plan = Plan{.op = Op::never, .size = 1};
    if (error_.empty())
      error_ = std::format("schema: {} cannot be read as ours", where.empty() ? "it" : where);
    return nullptr;
  }
  const std::string& error() const { return error_; }

 private:
  Plan& add() {
    resolution_.plans_.push_back(std::make_unique<Plan>());
    return *resolution_.plans_.back();
  }

  bool from_union(const Node& writer, const Node& reader, Plan& plan, const std::string& where) {
    plan.op = Op::from_union;
    bool any = false;
    for (const Node* branch : writer.branches) {
      const Plan* part = resolve(*branch, reader, where);
      any = any || part;
      plan.parts.push_back(part ? part : &add());
    }
    return any;
  }

  // The branch of the same type before one that a number can be promoted to.
  bool into_union(const Node& writer, const Node& reader, Plan& plan, const std::string& where) {
    plan.op = Op::into_union;
    for (const bool same : {true, false}) {
      for (size_t i = 0; i < reader.branches.size(); ++i) {
        const Node& branch = *reader.branches[i];
        if ((branch.type == writer.type) != same) continue;
        if (!branch.name.empty() && !writer.name.empty() && !same_name(writer, branch)) continue;
        const Plan* part = resolve(writer, branch, where);
        if (!part) continue;
        plan.size = i;
        plan.parts = {part};
        return true;
      }
    }
    return false;
  }

  bool plain(const Node& writer, const Node& reader, Plan& plan, const std::string& where) {
    const bool number = writer.type == Type::int_ || writer.type == Type::long_;
    switch (reader.type) {
      case Type::long_:
        plan.op = Op::varint;
        return number;
      case Type::float_:
        plan.op = number ? Op::to_float : Op::copy;
        plan.size = 4;
        return number || writer.type == Type::float_;
      case Type::double_:
        plan.op = number ? Op::to_double : writer.type == Type::float_ ? Op::float_to_double : Op::copy;
        plan.size = 8;
        return number || writer.type == Type::float_ || writer.type == Type::double_;
      case Type::string:
      case Type::bytes:
        plan.op = Op::sized;
        return writer.type == Type::string || writer.type == Type::bytes;
      default:
        break;
    }
    if (writer.type != reader.type) return false;
    if (!reader.name.empty() && !same_name(writer, reader)) return false;
    switch (reader.type) {
      case Type::null:
      case Type::boolean:
        plan.op = Op::copy;
        plan.size = reader.type == Type::boolean;
        return true;
      case Type::int_:
        plan.op = Op::varint;
        return true;
      case Type::fixed:
        plan.op = Op::copy;
        plan.size = reader.size;
        return writer.size == reader.size;
      case Type::enumeration:
        plan.op = Op::symbol;
        for (const std::string& symbol : writer.symbols) {
          const auto place = std::ranges::find(reader.symbols, symbol);
          plan.numbers.push_back(place != reader.symbols.end() ? place - reader.symbols.begin()
                                 : reader.default_symbol       ? int64_t(*reader.default_symbol)
                                                               : -1);
        }
        return true;
      case Type::array:
      case Type::map: {
        plan.op = Op::list;
        plan.keys = reader.type == Type::map;
        const Plan* item = resolve(*writer.branches[0], *reader.branches[0], where + "[]");
        if (item) plan.parts = {item};
        return item;
      }
      case Type::record:
        plan.op = Op::record;
        return record(writer, reader, plan, where);
      default:
        return false;
    }
  }

  bool record(const Node& writer, const Node& reader, Plan& plan, const std::string& where) {
    for (const Field& field : writer.fields) plan.steps.push_back({nullptr, field.type, 0});
    plan.defaults.resize(reader.fields.size());
    for (size_t target = 0; target < reader.fields.size(); ++target) {
      const Field& field = reader.fields[target];
      const std::string path = where.empty() ? field.name : where + "." + field.name;
      const auto named = [&](const std::string& name) {
        const auto found = std::ranges::find(writer.fields, name, &Field::name);
        return found == writer.fields.end() ? plan.steps.size() : size_t(found - writer.fields.begin());
      };
      size_t place = named(field.name);
      for (size_t i = 0; place == plan.steps.size() && i < field.aliases.size(); ++i)
        place = named(field.aliases[i]);
      if (place < plan.steps.size() && !plan.steps[place].plan) {
        const Plan* part = resolve(*writer.fields[place].type, *field.type, path);
        if (!part) return false;
        plan.steps[place].plan = part;
        plan.steps[place].target = target;
      } else if (field.default_value) {
        plan.defaults[target] = *field.default_value;
      } else {
        error_ = std::format("schema: {} is missing and has no default", path);
        return false;
      }
    }
    size_t least = 0;
    for (const Plan::Step& step : plan.steps) {
      if (!step.plan) continue;
      plan.in_order = plan.in_order && step.target >= least;
      least = step.target;
    }
    return true;
  }

  Resolution& resolution_;
  std::map<std::pair<const Node*, const Node*>, const Plan*> known_;
  std::string error_;
};

namespace {

constexpr size_t deepest = 64;

std::vector<size_t>& kept_ends() {
  thread_local std::vector<size_t> ends;
  ends.clear();
  return ends;
}

class Converter {
 public:
  Converter(Bytes datum, const Limits& limits, std::vector<uint8_t>& out)
      : in_(datum, limits),
        out_bytes_(out),
        out_(out),
        ends_(kept_ends()),
        // A type without bytes can be claimed any number of times: what is done for it is counted.

        steps_left_(100'000 + 8 * datum.size()),
        most_(64 * KiB + 2 * datum.size()) {}

  bool run(const Plan& root) {
    convert(root, 0);
    return in_.ok() && in_.left() == 0;
  }

 private:
  bool step(size_t depth) {
    if (depth > deepest || steps_left_ == 0 || out_bytes_.size() > most_) in_.fail();
    if (steps_left_) --steps_left_;
    return in_.ok();
  }

  // A string in place; whether it is UTF-8 is for the reader of the result to check.
  Bytes take_sized() { return in_.take_sized(in_.left()); }

  template <class Each>
  void blocks(bool counts, Each&& each) {
    for (size_t size = 0; const size_t count = in_.read_block(size, in_.limits().items, 0); size += count) {
      if (counts) out_.write_long(int64_t(count));
      for (size_t i = 0; i < count && in_.ok(); ++i) each();
    }
    if (counts) out_.write_long(0);
  }

  void convert(const Plan& plan, size_t depth) {
    if (!step(depth)) return;
    switch (plan.op) {
      case Op::never:
        in_.fail();
        break;
      case Op::copy:
        out_.write(in_.take(plan.size));
        break;
      case Op::varint:
        out_.write_long(in_.read_long());
        break;
      case Op::to_float:
        out_.write_float(float(in_.read_long()));
        break;
      case Op::to_double:
        out_.write_double(double(in_.read_long()));
        break;
      case Op::float_to_double:
        out_.write_double(in_.read_float());
        break;
      case Op::sized:
        out_.write_sized(take_sized());
        break;
      case Op::symbol: {
        const size_t symbol = in_.read_index(plan.numbers.size());
        if (!in_.ok() || plan.numbers[symbol] < 0) return in_.fail();
        out_.write_long(plan.numbers[symbol]);
        break;
      }
      case Op::list:
        blocks(true, [&] {
          if (plan.keys) out_.write_sized(take_sized());
          convert(*plan.parts[0], depth + 1);
        });
        break;
      case Op::from_union: {
        const size_t branch = in_.read_index(plan.parts.size());
        if (in_.ok()) convert(*plan.parts[branch], depth + 1);
        break;
      }
      case Op::into_union:
        out_.write_long(int64_t(plan.size));
        convert(*plan.parts[0], depth + 1);
        break;
      case Op::record:
        plan.in_order ? ordered(plan, depth) : reordered(plan, depth);
        break;
    }
  }

  // The fields as they come, with defaults between them.
  void ordered(const Plan& plan, size_t depth) {
    size_t target = 0;
    for (const Plan::Step& field : plan.steps) {
      if (!field.plan) {
        skip(*field.skipped, depth + 1);
        continue;
      }
      for (; target < field.target; ++target) out_.write(plan.defaults[target]);
      convert(*field.plan, depth + 1);
      ++target;
    }
    for (; target < plan.defaults.size(); ++target) out_.write(plan.defaults[target]);
  }

  // The fields as they come, then once more behind them in the right order, which is moved to where they
  // began.
  void reordered(const Plan& plan, size_t depth) {
    const size_t start = out_bytes_.size(), first = ends_.size();
    for (const Plan::Step& field : plan.steps) {
      field.plan ? convert(*field.plan, depth + 1) : skip(*field.skipped, depth + 1);
      ends_.push_back(out_bytes_.size());
    }
    const size_t end = out_bytes_.size();
    if (!in_.ok()) return;
    out_bytes_.reserve(end + (end - start));  // the pieces that are appended lie in the same vector
    for (size_t target = 0; target < plan.defaults.size(); ++target) {
      const auto field =
          std::ranges::find_if(plan.steps, [&](const Plan::Step& s) { return s.plan && s.target == target; });
      if (field == plan.steps.end()) {
        out_.write(plan.defaults[target]);
        continue;
      }
      const size_t i = first + size_t(field - plan.steps.begin());
      const size_t begin = i == first ? start : ends_[i - 1];
      const size_t size = ends_[i] - begin, at = out_bytes_.size();
      out_bytes_.resize(at + size);
      std::memcpy(out_bytes_.data() + at, out_bytes_.data() + begin, size);
    }
    out_bytes_.erase(out_bytes_.begin() + ptrdiff_t(start), out_bytes_.begin() + ptrdiff_t(end));
    ends_.resize(first);
  }

  void skip(const Node& node, size_t depth) {
    if (!step(depth)) return;
    switch (node.type) {
      case Type::null:
        break;
      case Type::boolean:
        in_.read_boolean();
        break;
      case Type::int_:
      case Type::long_:
        in_.read_long();
        break;
      case Type::float_:
      case Type::double_:
        in_.take(node.type == Type::float_ ? 4 : 8);
        break;
      case Type::bytes:
      case Type::string:
        take_sized();
        break;
      case Type::fixed:
        in_.take(node.size);
        break;
      case Type::enumeration:
        in_.read_index(node.symbols.size());
        break;
      case Type::array:
      case Type::map:
        blocks(false, [&] {
          if (node.type == Type::map) take_sized();
          skip(*node.branches[0], depth + 1);
        });
        break;
      case Type::union_: {
        const size_t branch = in_.read_index(node.branches.size());
        if (in_.ok()) skip(*node.branches[branch], depth + 1);
        break;
      }
      case Type::record:
        for (const Field& field : node.fields) {
          skip(*field.type, depth + 1);
          if (!in_.ok()) return;
        }
        break;
    }
  }

  BinaryReader in_;
  std::vector<uint8_t>& out_bytes_;
  BinaryWriter out_;
  // Of the fields of the records that are being reordered; kept for the thread's next message.
  std::vector<size_t>& ends_;
  size_t steps_left_;
  size_t most_;
};

}  // namespace

Resolution::Resolution(Schema writer) : writer_(std::move(writer)) {}
Resolution::Resolution(Resolution&&) noexcept = default;
Resolution& Resolution::operator=(Resolution&&) noexcept = default;
Resolution::~Resolution() = default;

Result<Resolution> Resolution::make(Schema writer, const Schema& reader) {
  Resolution resolution(std::move(writer));
  Resolver resolver(resolution);
  resolution.root_ = resolver.resolve(resolution.writer_.root(), reader.root(), "");
  if (!resolution.root_) return fail(ErrorCode::unsupported, "{}", resolver.error());
  return resolution;
}

bool Resolution::convert(Bytes datum, const Limits& limits, std::vector<uint8_t>& out) const {
  out.clear();
  return Converter(datum, limits, out).run(*root_);
}

}  // namespace sightglass::stream::avro
