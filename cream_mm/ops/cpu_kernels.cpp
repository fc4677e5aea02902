// Kernels for training on a CPU, for images stored channels-last: an (N, H, W, C) array, which
// batch norm reads as (rows = N * H * W, C). All arrays are contiguous and float32; those of the
// passes without a gradient may hold bfloat16 images, computed with in float32.
//
// Compiled on first use by cpu_kernels.py. Each function splits its work over `threads` threads in a
// fixed way, so that results are the same from run to run.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

constexpr int LANES = 16;     // channels that one pass of the depthwise kernel holds in registers
constexpr int BLOCK = 64;     // terms that are summed in float before they go into a double
constexpr int STRIP = 256;    // the same, of a depthwise kernel, whose sums are many

// exp to 2e-7 relative, without a call, so that loops over it are vectorised.
inline float exp_fast(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// SiLU, to about 3e-7 relative, and to 2e-4 where the result is rounded to 2^-9 anyway.
inline float silu_of(float z, const float*) { return z / (1.0f + exp_fast(-z)); }

using bf16 = uint16_t;  // the upper half of a float

inline float load(float x) { return x; }
inline float load(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline void store(float value, float* to) { *to = value; }
inline void store(float value, bf16* to) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  *to = static_cast<bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float silu_of(float z, const bf16*) {
  const float x = std::min(std::max(z * -1.44269504f, -126.0f), 126.0f);  // 2^x = exp(-z)
  const float n = std::nearbyint(x), f = x - n;
  const float p = ((0.0550284f * f + 0.2422608f) * f + 0.6932535f) * f + 0.9999512f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return z / (1.0f + p * scale);
}

// f of a value of the images' type.
template <class F>
inline void with_type(int half, const F& f) {
  if (half) f(bf16());
  else f(float());
}

enum Act { NONE, SILU, RELU, RELU6 };  // as in cpu_kernels.py

// f(act) with the activation as a constant, so that its loops hold no branch.
template <class F>
inline void with_act(int act, const F& f) {
  if (act == SILU) f(std::integral_constant<int, SILU>());
  else if (act == RELU) f(std::integral_constant<int, RELU>());
  else if (act == RELU6) f(std::integral_constant<int, RELU6>());
  else f(std::integral_constant<int, NONE>());
}

template <int act, class T>
inline float activate(float z, const T* type) {
  if (act == SILU) return silu_of(z, type);
  if (act == RELU6 && z > 6.0f) return 6.0f;
  return act != NONE && z < 0.0f ? 0.0f : z;  // NaN stays
}

// Derivative of the activation, where it is `sigmoid` for SiLU and unused for the others.
template <int act>
inline float derivative(float z, float sigmoid) {
  if (act == SILU) return sigmoid * (1.0f + z * (1.0f - sigmoid));
  if (act == RELU6 && z >= 6.0f) return 0.0f;
  return act != NONE && z <= 0.0f ? 0.0f : 1.0f;
}

template <int act>
inline float sigmoid_of(float z) { return act == SILU ? 1.0f / (1.0f + exp_fast(-z)) : 0.0f; }

inline int64_t first_row(int64_t rows, int part, int parts) { return rows * part / parts; }

// Adds per-thread sums in order.
void reduce(const std::vector<double>& partial, int parts, int64_t size, double* out) {
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    for (int t = 0; t < parts; ++t) sum += partial[t * size + i];
    out[i] = sum;
  }
}

// Batch norm as x * a + b.
struct Affine {
  std::vector<float> a, b;
  Affine(const float* gamma, const float* beta, const float* mean, const float* invstd, int64_t C)
      : a(C), b(C) {
    for (int64_t c = 0; c < C; ++c) {
      a[c] = gamma[c] * invstd[c];
      b[c] = beta[c] - mean[c] * a[c];
    }
  }
};

// Mean and 1 / deviation of each channel (C). Running statistics move by `momentum` unless null.
template <class T>
void batch_stats(const T* x, float* mean, float* invstd, float* running_mean, float* running_var,
                 float momentum, float eps, int64_t rows, int64_t C, int threads) {
  std::vector<double> partial(2 * C * threads, 0.0), sums(2 * C);
  std::vector<float> origin(C);
  for (int64_t c = 0; c < C; ++c) origin[c] = load(x[c]);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    std::vector<float> block(2 * C);
    double* total = &partial[2 * C * t];
    const int64_t end = first_row(rows, t + 1, threads);
    for (int64_t begin = first_row(rows, t, threads); begin < end; begin += BLOCK) {
      std::fill(block.begin(), block.end(), 0.0f);
      float *s = block.data(), *q = s + C;
      const int64_t stop = std::min(begin + BLOCK, end);
      // Deviations from the block's first row: squares of these do not cancel when the mean is
      // large, nor when the very first row is far from all others.
      const T* first = x + begin * C;
      for (int64_t r = begin; r < stop; ++r) {
        const T* row = x + r * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) {
          const float d = load(row[c]) - load(first[c]);
          s[c] += d;
          q[c] += d * d;
        }
      }
      const double size = static_cast<double>(stop - begin);
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) {  // as deviations from `origin`
        const double move = static_cast<double>(load(first[c])) - origin[c];
        total[c] += s[c] + size * move;
        total[C + c] += q[c] + move * (2.0 * s[c] + size * move);
      }
    }
  }
  reduce(partial, threads, 2 * C, sums.data());
  for (int64_t c = 0; c < C; ++c) {
    const double off = sums[c] / rows;
    const double var = std::max(sums[C + c] / rows - off * off, 0.0);
    mean[c] = static_cast<float>(origin[c] + off);
    invstd[c] = static_cast<float>(1.0 / std::sqrt(var + eps));
    if (running_mean) {
      const double unbiased = rows > 1 ? var * rows / (rows - 1) : var;
      running_mean[c] += momentum * (mean[c] - running_mean[c]);
      running_var[c] += momentum * (static_cast<float>(unbiased) - running_var[c]);
    }
  }
}

// out = act(batch norm of x). `out` may be `x`.
template <class T>
void norm_act(const T* x, T* out, const Affine& norm, int64_t rows, int64_t C, int act,
              int threads) {
  const float *a = norm.a.data(), *b = norm.b.data();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    with_act(act, [&](auto kind) {
      for (int64_t r = first_row(rows, t, threads); r < first_row(rows, t + 1, threads); ++r) {
        const T* row = x + r * C;
        T* to = out + r * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c)
          store(activate<kind>(load(row[c]) * a[c] + b[c], row), to + c);
      }
    });
  }
}

// Mean over the pixels of each image of what norm_act would give: -> (N, C).
template <class T>
void norm_act_pool(const T* x, float* out, const Affine& norm, int64_t N, int64_t pixels,
                   int64_t C, int act, int threads) {
  const float *a = norm.a.data(), *b = norm.b.data();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    std::vector<double> total(C, 0.0);
    std::vector<float> block(C);
    float* sum = block.data();
    with_act(act, [&](auto kind) {
      for (int64_t begin = 0; begin < pixels; begin += BLOCK) {
        std::fill(block.begin(), block.end(), 0.0f);
        for (int64_t p = begin; p < std::min(begin + BLOCK, pixels); ++p) {
          const T* row = x + (n * pixels + p) * C;
#pragma omp simd
          for (int64_t c = 0; c < C; ++c)
            sum[c] += activate<kind>(load(row[c]) * a[c] + b[c], row);
        }
        for (int64_t c = 0; c < C; ++c) total[c] += sum[c];
      }
    });
    for (int64_t c = 0; c < C; ++c) out[n * C + c] = static_cast<float>(total[c] / pixels);
  }
}

// out = act(batch norm of x) * gate, with one gate per image and channel. `out` may be `x`.
template <class T>
void norm_act_scale(const T* x, T* out, const Affine& norm, const float* gate, int64_t N,
                    int64_t pixels, int64_t C, int act, int threads) {
  const float *a = norm.a.data(), *b = norm.b.data();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    const float* k = gate + n * C;
    with_act(act, [&](auto kind) {
      for (int64_t p = 0; p < pixels; ++p) {
        const T* row = x + (n * pixels + p) * C;
        T* to = out + (n * pixels + p) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c)
          store(activate<kind>(load(row[c]) * a[c] + b[c], row) * k[c], to + c);
      }
    });
  }
}

// Gradients of gamma and beta from the sums over all rows of dz and of dz * (x - mean), where dz
// is the gradient before the activation; and that of x as scale * dz + slope * x + offset:
// scale * (dz - mean(dz) - xhat * mean(dz * xhat)) written out.
struct NormGradient {
  std::vector<float> slope, offset;
  NormGradient(const double* sums, const float* scale, const float* mean, const float* invstd,
               float* grad_gamma, float* grad_beta, int64_t rows, int64_t C)
      : slope(C), offset(C) {
    for (int64_t c = 0; c < C; ++c) {
      const double g_gamma = sums[C + c] * invstd[c];
      grad_beta[c] = static_cast<float>(sums[c]);
      grad_gamma[c] = static_cast<float>(g_gamma);
      slope[c] = static_cast<float>(-scale[c] * invstd[c] * g_gamma / rows);
      offset[c] = static_cast<float>(-scale[c] * sums[c] / rows - slope[c] * mean[c]);
    }
  }
};

// Mean over the pixels of each image: (N, pixels, C) -> (N, C).
template <class T>
void pool_t(const T* x, float* out, int64_t N, int64_t pixels, int64_t C, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    std::vector<double> total(C, 0.0);
    std::vector<float> block(C);
    float* sum = block.data();
    for (int64_t begin = 0; begin < pixels; begin += BLOCK) {
      std::fill(block.begin(), block.end(), 0.0f);
      for (int64_t p = begin; p < std::min(begin + BLOCK, pixels); ++p) {
        const T* row = x + (n * pixels + p) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) sum[c] += load(row[c]);
      }
      for (int64_t c = 0; c < C; ++c) total[c] += sum[c];
    }
    for (int64_t c = 0; c < C; ++c) out[n * C + c] = static_cast<float>(total[c] / pixels);
  }
}

// out = x * gate, with one gate per image and channel. `out` may be `x`.
template <class T>
void scale_t(const T* x, const float* gate, T* out, int64_t N, int64_t pixels, int64_t C,
           int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    const float* k = gate + n * C;
    for (int64_t p = 0; p < pixels; ++p) {
      const T* row = x + (n * pixels + p) * C;
      T* to = out + (n * pixels + p) * C;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) store(load(row[c]) * k[c], to + c);
    }
  }
}

// ---- depthwise convolutions, LANES channels of a row at a time -----------------------------------

typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float))));

// `count` channels, the rest zeros.
inline lanes_t load_lanes(const float* from, int64_t count) {
  lanes_t v{};
  std::memcpy(&v, from, count * sizeof(float));
  return v;
}
inline lanes_t load_lanes(const bf16* from, int64_t count) {
  bf16 half __attribute__((vector_size(LANES * sizeof(bf16)))) = {};
  std::memcpy(&half, from, count * sizeof(bf16));
  using words_t = uint32_t __attribute__((vector_size(LANES * sizeof(uint32_t))));
  const words_t bits = __builtin_convertvector(half, words_t) << 16;
  lanes_t v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline void store_lanes(lanes_t v, float* to, int64_t count) {
  std::memcpy(to, &v, count * sizeof(float));
}
inline void store_lanes(lanes_t v, bf16* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) store(v[i], to + i);
}

// f(c, count) for each block of channels; count is a constant for all but a shorter last one.
template <class F>
inline void for_lanes(int64_t C, const F& f) {
  int64_t c = 0;
  for (; c + LANES <= C; c += LANES) f(c, std::integral_constant<int64_t, LANES>());
  if (c < C) f(c, C - c);
}

// Sizes of an image and of the output, and how the kernel moves over it.
struct Window {
  int64_t H, W, C, OH, OW, S, top, left;
};

template <class F>
inline void with_side(int64_t K, const F& f) {
  if (K == 3) f(std::integral_constant<int, 3>());
  else if (K == 5) f(std::integral_constant<int, 5>());
  else f(std::integral_constant<int, 7>());
}

// (C, taps) -> (taps, C), and zeros behind it, so that whole registers may be read.
std::vector<float> by_tap(const float* weight, int64_t C, int64_t taps) {
  std::vector<float> out(taps * C + LANES, 0.0f);
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < taps; ++k) out[k * C + c] = weight[c * taps + k];
  return out;
}

// Row `oy` of the output of one image.
template <int K, class T>
void depthwise_row(const T* image, const float* taps, T* out, int64_t oy, const Window& w) {
  const int64_t y0 = oy * w.S - w.top;
  const int64_t ky0 = std::max<int64_t>(0, -y0), ky1 = std::min<int64_t>(K, w.H - y0);
  for_lanes(w.C, [&](int64_t c, auto count) {
    for (int64_t ox = 0; ox < w.OW; ++ox) {
      const int64_t x0 = ox * w.S - w.left;
      lanes_t sum{};
      for (int64_t ky = ky0; ky < ky1; ++ky) {
        const T* from = image + ((y0 + ky) * w.W + x0) * w.C + c;
        const float* tap = taps + ky * K * w.C + c;
        const auto add = [&](int64_t kx) {
          sum += load_lanes(from + kx * w.C, count) * load_lanes(tap + kx * w.C, LANES);
        };
        if (x0 >= 0 && x0 + K <= w.W) {
#pragma GCC unroll 7
          for (int kx = 0; kx < K; ++kx) add(kx);
        } else {
          for (int64_t kx = std::max<int64_t>(0, -x0); kx < std::min<int64_t>(K, w.W - x0); ++kx)
            add(kx);
        }
      }
      store_lanes(sum, out + ox * w.C + c, count);
    }
  });
}

// The outputs, from the first to before the second, that a pixel goes into; `at` counts the zeros.
template <int K>
inline std::pair<int64_t, int64_t> reached(int64_t at, int64_t S, int64_t outputs) {
  return {at < K ? 0 : (at - K) / S + 1, std::min(at / S + 1, outputs)};
}

// Row `y` of the gradient of one image: what each pixel gets from the outputs that it went into.
template <int K>
void depthwise_grad_row(const float* grad, const float* taps, float* out, int64_t y,
                        const Window& w) {
  const auto rows = reached<K>(y + w.top, w.S, w.OH);
  for_lanes(w.C, [&](int64_t c, auto count) {
    for (int64_t x = 0; x < w.W; ++x) {
      const auto columns = reached<K>(x + w.left, w.S, w.OW);
      lanes_t sum{};
      for (int64_t oy = rows.first; oy < rows.second; ++oy) {
        const float* from = grad + oy * w.OW * w.C + c;
        const float* tap = taps + ((y + w.top - oy * w.S) * K + x + w.left) * w.C + c;
        for (int64_t ox = columns.first; ox < columns.second; ++ox)
          sum += load_lanes(from + ox * w.C, count) * load_lanes(tap - ox * w.S * w.C, LANES);
      }
      store_lanes(sum, out + x * w.C + c, count);
    }
  });
}

// Adds to `total` (K * K, C) what output rows `begin` to `end`, counted over all images, give the
// weights of `count` channels from `c`: few enough terms for a float.
template <int K, class Count>
void depthwise_weight_strip(const float* x, const float* grad, double* total, int64_t begin,
                            int64_t end, int64_t c, Count count, const Window& w) {
  lanes_t sums[K * K] = {};
  // Outputs whose columns all lie inside the image: `first` to `last`.
  const int64_t first = std::min((w.left + w.S - 1) / w.S, w.OW), room = w.W + w.left - K;
  const int64_t last = std::max(first, room < 0 ? 0 : std::min(room / w.S + 1, w.OW));
  for (int64_t r = begin; r < end; ++r) {
    const int64_t y0 = r % w.OH * w.S - w.top;
    const float* g = grad + r * w.OW * w.C + c;
    for (int64_t ky = std::max<int64_t>(0, -y0); ky < std::min<int64_t>(K, w.H - y0); ++ky) {
      const float* row = x + (r / w.OH * w.H + y0 + ky) * w.W * w.C + c;
      lanes_t* sum = sums + ky * K;
      const auto edge = [&](int64_t ox) {
        const int64_t x0 = ox * w.S - w.left;
        const lanes_t go = load_lanes(g + ox * w.C, count);
        for (int64_t kx = std::max<int64_t>(0, -x0); kx < std::min<int64_t>(K, w.W - x0); ++kx)
          sum[kx] += go * load_lanes(row + (x0 + kx) * w.C, count);
      };
      for (int64_t ox = 0; ox < first; ++ox) edge(ox);
      lanes_t kept[K];  // in registers
#pragma GCC unroll 7
      for (int kx = 0; kx < K; ++kx) kept[kx] = sum[kx];
      for (int64_t ox = first; ox < last; ++ox) {
        const lanes_t go = load_lanes(g + ox * w.C, count);
        const float* from = row + (ox * w.S - w.left) * w.C;
#pragma GCC unroll 7
        for (int kx = 0; kx < K; ++kx) kept[kx] += go * load_lanes(from + kx * w.C, count);
      }
#pragma GCC unroll 7
      for (int kx = 0; kx < K; ++kx) sum[kx] = kept[kx];
      for (int64_t ox = last; ox < w.OW; ++ox) edge(ox);
    }
  }
  for (int k = 0; k < K * K; ++k)
    for (int64_t i = 0; i < count; ++i) total[k * w.C + c + i] += sums[k][i];
}

}  // namespace

extern "C" {

// mean and invstd (C) are kept for the backward pass.
void norm_act_forward(const void* x, void* out, const float* gamma, const float* beta, float* mean,
                      float* invstd, float* running_mean, float* running_var, float momentum,
                      float eps, int64_t rows, int64_t C, int act, int threads, int half) {
  with_type(half, [&](auto type) {
    using T = decltype(type);
    batch_stats(static_cast<const T*>(x), mean, invstd, running_mean, running_var, momentum, eps,
                rows, C, threads);
    const Affine norm(gamma, beta, mean, invstd, C);
    norm_act(static_cast<const T*>(x), static_cast<T*>(out), norm, rows, C, act, threads);
  });
}

// The same, of which only the mean over each image is kept: (N, C).
void norm_act_pool_forward(const void* x, float* out, const float* gamma, const float* beta,
                           float* mean, float* invstd, float* running_mean, float* running_var,
                           float momentum, float eps, int64_t N, int64_t pixels, int64_t C, int act,
                           int threads, int half) {
  with_type(half, [&](auto type) {
    using T = decltype(type);
    batch_stats(static_cast<const T*>(x), mean, invstd, running_mean, running_var, momentum, eps,
                N * pixels, C, threads);
    const Affine norm(gamma, beta, mean, invstd, C);
    norm_act_pool(static_cast<const T*>(x), out, norm, N, pixels, C, act, threads);
  });
}

// And the values themselves, times a gate (N, C).
void norm_act_scale_forward(const void* x, void* out, const float* gamma, const float* beta,
                            const float* mean, const float* invstd, const float* gate, int64_t N,
                            int64_t pixels, int64_t C, int act, int threads, int half) {
  const Affine norm(gamma, beta, mean, invstd, C);
  with_type(half, [&](auto type) {
    using T = decltype(type);
    norm_act_scale(static_cast<const T*>(x), static_cast<T*>(out), norm, gate, N, pixels, C, act,
                   threads);
  });
}

void pool(const void* x, float* out, int64_t N, int64_t pixels, int64_t C, int threads, int half) {
  with_type(half, [&](auto type) {
    pool_t(static_cast<const decltype(type)*>(x), out, N, pixels, C, threads);
  });
}

void scale(const void* x, const float* gate, void* out, int64_t N, int64_t pixels, int64_t C,
           int threads, int half) {
  with_type(half, [&](auto type) {
    using T = decltype(type);
    scale_t(static_cast<const T*>(x), gate, static_cast<T*>(out), N, pixels, C, threads);
  });
}

// Gradients of norm_act with respect to x (grad_in), gamma and beta, from x and its statistics.
void norm_act_backward(const float* grad, const float* x, float* grad_in, const float* gamma,
                       const float* beta, const float* mean, const float* invstd, float* grad_gamma,
                       float* grad_beta, int64_t rows, int64_t C, int act, int threads) {
  std::vector<double> partial(2 * C * threads, 0.0), sums(2 * C);
  const Affine norm(gamma, beta, mean, invstd, C);
  const float *a = norm.a.data(), *b = norm.b.data();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    std::vector<float> block(2 * C);
    double* total = &partial[2 * C * t];
    const int64_t end = first_row(rows, t + 1, threads);
    with_act(act, [&](auto kind) {
      for (int64_t begin = first_row(rows, t, threads); begin < end; begin += BLOCK) {
        std::fill(block.begin(), block.end(), 0.0f);
        float *s = block.data(), *q = s + C;
        for (int64_t r = begin; r < std::min(begin + BLOCK, end); ++r) {
          const float *g = grad + r * C, *row = x + r * C;
#pragma omp simd
          for (int64_t c = 0; c < C; ++c) {
            const float z = row[c] * a[c] + b[c];
            const float dz = g[c] * derivative<kind>(z, sigmoid_of<kind>(z));
            s[c] += dz;
            q[c] += dz * (row[c] - mean[c]);
          }
        }
        for (int64_t i = 0; i < 2 * C; ++i) total[i] += block[i];
      }
    });
  }
  reduce(partial, threads, 2 * C, sums.data());
  const NormGradient from(sums.data(), a, mean, invstd, grad_gamma, grad_beta, rows, C);
  const float *k = from.slope.data(), *o = from.offset.data();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    // dz once more: it costs less than to write it and read it again.
    with_act(act, [&](auto kind) {
      for (int64_t r = first_row(rows, t, threads); r < first_row(rows, t + 1, threads); ++r) {
        const float *g = grad + r * C, *row = x + r * C;
        float* to = grad_in + r * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) {
          const float z = row[c] * a[c] + b[c];
          const float dz = g[c] * derivative<kind>(z, sigmoid_of<kind>(z));
          to[c] = a[c] * dz + k[c] * row[c] + o[c];
        }
      }
    });
  }
}

// What the backward pass of act(batch norm of x) * gate needs of each image and channel, (5, N, C):
// sums over the pixels of grad * value, grad * slope, slope, grad * slope * (x - mean) and
// slope * (x - mean), where value is the activation's and slope its derivative.
void norm_act_scale_sums(const float* grad, const float* x, float* out, const float* gamma,
                         const float* beta, const float* mean, const float* invstd, int64_t N,
                         int64_t pixels, int64_t C, int act, int threads) {
  const Affine norm(gamma, beta, mean, invstd, C);
  const float *a = norm.a.data(), *b = norm.b.data();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    std::vector<double> total(5 * C, 0.0);
    std::vector<float> block(5 * C);
    float *gv = block.data(), *gs = gv + C, *s = gs + C, *gsx = s + C, *sx = gsx + C;
    with_act(act, [&](auto kind) {
      for (int64_t begin = 0; begin < pixels; begin += BLOCK) {
        std::fill(block.begin(), block.end(), 0.0f);
        for (int64_t p = begin; p < std::min(begin + BLOCK, pixels); ++p) {
          const float *g = grad + (n * pixels + p) * C, *row = x + (n * pixels + p) * C;
#pragma omp simd
          for (int64_t c = 0; c < C; ++c) {
            const float z = row[c] * a[c] + b[c], sigmoid = sigmoid_of<kind>(z);
            const float value = kind == SILU ? z * sigmoid : activate<kind>(z, row);
            const float slope = derivative<kind>(z, sigmoid), off = slope * (row[c] - mean[c]);
            gv[c] += g[c] * value;
            gs[c] += g[c] * slope;
            s[c] += slope;
            gsx[c] += g[c] * off;
            sx[c] += off;
          }
        }
        for (int64_t i = 0; i < 5 * C; ++i) total[i] += block[i];
      }
    });
    for (int64_t i = 0; i < 5; ++i)
      for (int64_t c = 0; c < C; ++c)
        out[(i * N + n) * C + c] = static_cast<float>(total[i * C + c]);
  }
}

// Its gradients with respect to x (grad_in), gamma and beta. The values before the gate have the
// gradient grad * gate + pooled: what comes back through the gate is the same for all pixels.
void norm_act_scale_backward(const float* grad, const float* x, float* grad_in, const float* gamma,
                             const float* beta, const float* mean, const float* invstd,
                             const float* gate, const float* pooled, const float* image_sums,
                             float* grad_gamma, float* grad_beta, int64_t N, int64_t pixels,
                             int64_t C, int act, int threads) {
  const Affine norm(gamma, beta, mean, invstd, C);
  const float *a = norm.a.data(), *b = norm.b.data();
  std::vector<double> sums(2 * C, 0.0);
  for (int64_t n = 0; n < N; ++n) {
    const float *k = gate + n * C, *d = pooled + n * C, *of = image_sums + n * C;
    for (int64_t c = 0; c < C; ++c) {
      sums[c] += double(k[c]) * of[N * C + c] + double(d[c]) * of[2 * N * C + c];
      sums[C + c] += double(k[c]) * of[3 * N * C + c] + double(d[c]) * of[4 * N * C + c];
    }
  }
  const NormGradient from(sums.data(), a, mean, invstd, grad_gamma, grad_beta, N * pixels, C);
  const float *l = from.slope.data(), *o = from.offset.data();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    const float *k = gate + n * C, *d = pooled + n * C;
    with_act(act, [&](auto kind) {
      for (int64_t p = 0; p < pixels; ++p) {
        const float *g = grad + (n * pixels + p) * C, *row = x + (n * pixels + p) * C;
        float* to = grad_in + (n * pixels + p) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) {
          const float z = row[c] * a[c] + b[c];
          const float dz = (g[c] * k[c] + d[c]) * derivative<kind>(z, sigmoid_of<kind>(z));
          to[c] = a[c] * dz + l[c] * row[c] + o[c];
        }
      }
    });
  }
}

// Depthwise convolutions of a K x K kernel, K being 3, 5 or 7, with stride S and `top` and `left`
// rows and columns of zeros before the image; weight is (C, K, K).
void depthwise_forward(const void* x, const float* weight, void* out, int64_t N, int64_t H,
                       int64_t W, int64_t C, int64_t OH, int64_t OW, int64_t K, int64_t S,
                       int64_t top, int64_t left, int threads, int half) {
  const Window window{H, W, C, OH, OW, S, top, left};
  const std::vector<float> taps = by_tap(weight, C, K * K);
  with_type(half, [&](auto type) {
    using T = decltype(type);
    with_side(K, [&](auto side) {
#pragma omp parallel for num_threads(threads) schedule(static)
      for (int64_t r = 0; r < N * OH; ++r)
        depthwise_row<side>(static_cast<const T*>(x) + r / OH * H * W * C, taps.data(),
                            static_cast<T*>(out) + r * OW * C, r % OH, window);
    });
  });
}

void depthwise_input_grad(const float* grad, const float* weight, float* out, int64_t N, int64_t H,
                          int64_t W, int64_t C, int64_t OH, int64_t OW, int64_t K, int64_t S,
                          int64_t top, int64_t left, int threads) {
  const Window window{H, W, C, OH, OW, S, top, left};
  const std::vector<float> taps = by_tap(weight, C, K * K);
  with_side(K, [&](auto side) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < N * H; ++r)
      depthwise_grad_row<side>(grad + r / H * OH * OW * C, taps.data(), out + r * W * C, r % H,
                               window);
  });
}

void depthwise_weight_grad(const float* x, const float* grad, float* out, int64_t N, int64_t H,
                           int64_t W, int64_t C, int64_t OH, int64_t OW, int64_t K, int64_t S,
                           int64_t top, int64_t left, int threads) {
  const Window window{H, W, C, OH, OW, S, top, left};
  const int64_t size = K * K * C, rows = N * OH, strip = std::max<int64_t>(1, STRIP / OW);
  std::vector<double> partial(size * threads, 0.0), sums(size);
  with_side(K, [&](auto side) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      const int64_t end = first_row(rows, t + 1, threads);
      for (int64_t begin = first_row(rows, t, threads); begin < end; begin += strip)
        for_lanes(C, [&](int64_t c, auto count) {
          depthwise_weight_strip<side>(x, grad, &partial[size * t], begin,
                                       std::min(begin + strip, end), c, count, window);
        });
    }
  });
  reduce(partial, threads, size, sums.data());
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < K * K; ++k) out[c * K * K + k] = static_cast<float>(sums[k * C + c]);
}

// Gradient of `scale` with respect to the gate: the sum of x * grad over pixels, (N, C).
void gate_grad(const float* x, const float* grad, float* out, int64_t N, int64_t pixels, int64_t C,
               int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    std::vector<double> total(C, 0.0);
    std::vector<float> block(C);
    float* sum = block.data();
    for (int64_t begin = 0; begin < pixels; begin += BLOCK) {
      std::fill(block.begin(), block.end(), 0.0f);
      for (int64_t p = begin; p < std::min(begin + BLOCK, pixels); ++p) {
        const float *row = x + (n * pixels + p) * C, *g = grad + (n * pixels + p) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) sum[c] += row[c] * g[c];
      }
      for (int64_t c = 0; c < C; ++c) total[c] += sum[c];
    }
    for (int64_t c = 0; c < C; ++c) out[n * C + c] = static_cast<float>(total[c]);
  }
}

// Gradient of `scale` and `pool` together with respect to x: grad * gate + pooled / pixels.
void gated_grad(const float* grad, const float* gate, const float* pooled, float* out, int64_t N,
                int64_t pixels, int64_t C, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < N; ++n) {
    const float *k = gate + n * C, *d = pooled + n * C;
    for (int64_t p = 0; p < pixels; ++p) {
      const float* g = grad + (n * pixels + p) * C;
      float* to = out + (n * pixels + p) * C;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) to[c] = g[c] * k[c] + d[c] / pixels;
    }
  }
}

}  // extern "C"
