// 3D convolutions of clips by oneDNN, called from XLA's programs on CPUs.
//
// Clips are (n, t, h, w, c), kernels (kt, kh, kw, c, f), all of float32, packed.
// A handler each: the convolution; its gradient to the clips, which is also the
// transposed convolution; its gradient to the kernel. onednn.py compiles this.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Sizes = ffi::Span<const int64_t>;
using Argument = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

enum class Kind { kConvolution, kToClips, kToKernel };

struct Array {
  Sizes sizes;
  float* data;
};

struct Call {
  Kind kind;
  Array clips, kernel, out;
  Sizes strides, before, after;
  std::string error;
};

dnnl::memory::desc DescribeClips(const Sizes& s, dnnl::memory::format_tag tag) {
  return {{s[0], s[4], s[1], s[2], s[3]}, dnnl::memory::data_type::f32, tag};
}

dnnl::memory::desc DescribeKernel(const Sizes& s,
                                  dnnl::memory::format_tag tag) {
  return {{s[4], s[3], s[0], s[1], s[2]}, dnnl::memory::data_type::f32, tag};
}

// A convolution that is compiled, with a buffer for its kernel in the order that
// it wants, where that is another than ours.
struct Compiled {
  dnnl::primitive convolution;
  dnnl::memory::desc clips, kernel, out;
  bool is_reordered;
  dnnl::memory ordered;
  dnnl::primitive reorder;
};

class Convolutions {
 public:
  void Run(const Call& call) {
    Compiled& compiled = Find(call);
    dnnl::memory clips(compiled.clips, engine_, call.clips.data);
    dnnl::memory out(compiled.out, engine_, call.out.data);
    dnnl::memory ours(compiled.kernel, engine_, call.kernel.data);
    const bool to_kernel = call.kind == Kind::kToKernel;
    const bool to_clips = call.kind == Kind::kToClips;
    const auto& kernel = compiled.is_reordered ? compiled.ordered : ours;
    if (compiled.is_reordered && !to_kernel) {
      Execute(compiled.reorder, {{DNNL_ARG_FROM, ours}, {DNNL_ARG_TO, kernel}});
    }
    Execute(compiled.convolution,
            {{to_clips ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, clips},
             {to_kernel ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, kernel},
             {to_kernel || to_clips ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, out}});
    if (compiled.is_reordered && to_kernel) {
      Execute(compiled.reorder, {{DNNL_ARG_FROM, kernel}, {DNNL_ARG_TO, ours}});
    }
    stream_.wait();
  }

 private:
  using Arguments = std::unordered_map<int, dnnl::memory>;

  void Execute(const dnnl::primitive& primitive, const Arguments& arguments) {
    primitive.execute(stream_, arguments);
  }

  Compiled& Find(const Call& call) {
    std::vector<int64_t> key{static_cast<int64_t>(call.kind)};
    for (const Sizes& sizes :
         {call.clips.sizes, call.kernel.sizes, call.out.sizes, call.strides,
          call.before, call.after}) {
      key.insert(key.end(), sizes.begin(), sizes.end());
    }
    auto found = compiled_.find(key);
    if (found == compiled_.end()) {
      found = compiled_.emplace(key, Compile(call)).first;
    }
    return found->second;
  }

  Compiled Compile(const Call& call) {
    using Tag = dnnl::memory::format_tag;
    Compiled made;
    made.clips = DescribeClips(call.clips.sizes, Tag::ndhwc);
    made.out = DescribeClips(call.out.sizes, Tag::ndhwc);
    made.kernel = DescribeKernel(call.kernel.sizes, Tag::dhwio);
    const auto any = DescribeKernel(call.kernel.sizes, Tag::any);
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::memory::dims strides(call.strides.begin(), call.strides.end());
    const dnnl::memory::dims before(call.before.begin(), call.before.end());
    const dnnl::memory::dims after(call.after.begin(), call.after.end());
    const dnnl::convolution_forward::primitive_desc forward(
        engine_, dnnl::prop_kind::forward_training, direct, made.clips, any,
        made.out, strides, before, after);
    dnnl::memory::desc wanted;
    if (call.kind == Kind::kConvolution) {
      made.convolution = dnnl::convolution_forward(forward);
      wanted = forward.weights_desc();
    } else if (call.kind == Kind::kToClips) {
      const dnnl::convolution_backward_data::primitive_desc backward(
          engine_, direct, made.clips, any, made.out, strides, before, after,
          forward);
      made.convolution = dnnl::convolution_backward_data(backward);
      wanted = backward.weights_desc();
    } else {
      const dnnl::convolution_backward_weights::primitive_desc backward(
          engine_, direct, made.clips, any, made.out, strides, before, after,
          forward);
      made.convolution = dnnl::convolution_backward_weights(backward);
      wanted = backward.diff_weights_desc();
    }
    made.is_reordered = wanted != made.kernel;
    if (made.is_reordered) {
      made.ordered = dnnl::memory(wanted, engine_);
      const dnnl::memory ours(made.kernel, engine_, DNNL_MEMORY_NONE);
      const bool to_kernel = call.kind == Kind::kToKernel;
      made.reorder = to_kernel ? dnnl::reorder(made.ordered, ours)
                               : dnnl::reorder(ours, made.ordered);
    }
    return made;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<std::vector<int64_t>, Compiled> compiled_;
};

// The one thread that calls oneDNN: OpenMP gives each that does a team of its
// own, and XLA has as many as there are cores.
class Thread {
 public:
  static Thread& Get() {
    static Thread* thread = new Thread;  // Lives as long as the process.
    return *thread;
  }

  ffi::Error Run(Call call) {
    std::lock_guard<std::mutex> turn(turn_);
    std::unique_lock<std::mutex> lock(mutex_);
    call_ = &call;
    changed_.notify_all();
    changed_.wait(lock, [this] { return call_ == nullptr; });
    if (call.error.empty()) return ffi::Error::Success();
    return ffi::Error::Internal("oneDNN: " + call.error);
  }

 private:
  Thread() { std::thread([this] { Loop(); }).detach(); }

  void Loop() {
    Convolutions convolutions;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return call_ != nullptr; });
      try {
        convolutions.Run(*call_);
      } catch (const std::exception& error) {
        call_->error = error.what();
      }
      call_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable changed_;
  Call* call_ = nullptr;
};

Array Of(Argument& array) { return {array.dimensions(), array.typed_data()}; }
Array Of(Result& array) { return {array->dimensions(), array->typed_data()}; }

ffi::Error Convolve(Argument clips, Argument kernel, Result out, Sizes strides,
                    Sizes before, Sizes after, int64_t) {
  return Thread::Get().Run({Kind::kConvolution, Of(clips), Of(kernel), Of(out),
                            strides, before, after, ""});
}

ffi::Error ToClips(Argument out, Argument kernel, Result clips, Sizes strides,
                   Sizes before, Sizes after, int64_t) {
  return Thread::Get().Run({Kind::kToClips, Of(clips), Of(kernel), Of(out),
                            strides, before, after, ""});
}

ffi::Error ToKernel(Argument clips, Argument out, Result kernel, Sizes strides,
                    Sizes before, Sizes after, int64_t) {
  return Thread::Get().Run({Kind::kToKernel, Of(clips), Of(kernel), Of(out),
                            strides, before, after, ""});
}

auto Bind() {
  return ffi::Ffi::Bind()
      .Arg<Argument>()
      .Arg<Argument>()
      .Ret<Argument>()
      .Attr<Sizes>("strides")
      .Attr<Sizes>("before")
      .Attr<Sizes>("after")
      .Attr<int64_t>("flops");  // For onednn.py alone.
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(Magvit3dConvolve, Convolve, Bind());
XLA_FFI_DEFINE_HANDLER_SYMBOL(Magvit3dToClips, ToClips, Bind());
XLA_FFI_DEFINE_HANDLER_SYMBOL(Magvit3dToKernel, ToKernel, Bind());
