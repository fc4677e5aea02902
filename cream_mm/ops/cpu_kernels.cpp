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

enum Act { NONE, SILU, RELU };  // as in cpu_kernels.py

template <int act, class T>
inline float activate(float z, const T* type) {
  if (act == SILU) return silu_of(z, type);
  return act == RELU && z < 0.0f ? 0.0f : z;  // NaN stays
}

// Gradient before the activation, from the one behind it.
template <int act>
inline float activate_grad(float g, float z) {
  if (act == RELU) return z <= 0.0f ? 0.0f : g;
  const float sig = 1.0f / (1.0f + exp_fast(-z));
  return g * sig * (1.0f + z * (1.0f - sig));
}

inline int64_t first_row(int64_t rows, int part, int parts) { return rows * part / parts; }

// Adds per-thread sums in order.
void reduce(const std::vector<double>& partial, int parts, int64_t size, double* out) {
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    for (int t = 0; t < parts; ++t) sum += partial[t * size + i];
    out[i] = sum;
  }
}

// One row: to = act(row * a + b).
template <int act, class T>
void norm_act_row(const T* row, T* to, const float* a, const float* b, int64_t C) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) store(activate<act>(load(row[c]) * a[c] + b[c], to), to + c);
}

// One row: the gradient before the activation, and its sums alone (s) and with row - mean (q).
template <int act>
void norm_act_grad_row(const float* g, const float* row, float* to, const float* a, const float* b,
                       const float* mean, float* s, float* q, int64_t C) {
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) {
    const float dz = activate_grad<act>(g[c], row[c] * a[c] + b[c]);
    to[c] = dz;
    s[c] += dz;
    q[c] += dz * (row[c] - mean[c]);
  }
}

// Batch statistics, normalisation, and an activation. `out` may be `x`. mean and invstd (C) are
// kept for the backward pass. Running statistics move by `momentum` unless they are null.
template <class T>
void norm_act(const T* x, T* out, const float* gamma, const float* beta, float* mean,
                      float* invstd, float* running_mean, float* running_var, float momentum,
                      float eps, int64_t rows, int64_t C, int act, int threads) {
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
  std::vector<float> scale(C), shift(C);
  for (int64_t c = 0; c < C; ++c) {
    const double off = sums[c] / rows;
    const double var = std::max(sums[C + c] / rows - off * off, 0.0);
    mean[c] = static_cast<float>(origin[c] + off);
    invstd[c] = static_cast<float>(1.0 / std::sqrt(var + eps));
    scale[c] = gamma[c] * invstd[c];
    shift[c] = beta[c] - mean[c] * scale[c];
    if (running_mean) {
      const double unbiased = rows > 1 ? var * rows / (rows - 1) : var;
      running_mean[c] += momentum * (mean[c] - running_mean[c]);
      running_var[c] += momentum * (static_cast<float>(unbiased) - running_var[c]);
    }
  }
  const float *a = scale.data(), *b = shift.data();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    for (int64_t r = first_row(rows, t, threads); r < first_row(rows, t + 1, threads); ++r) {
      const T* row = x + r * C;
      T* to = out + r * C;
      if (act == SILU) norm_act_row<SILU>(row, to, a, b, C);
      else if (act == RELU) norm_act_row<RELU>(row, to, a, b, C);
      else norm_act_row<NONE>(row, to, a, b, C);
    }
  }
}

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

}  // namespace

extern "C" {

void norm_act_forward(const void* x, void* out, const float* gamma, const float* beta, float* mean,
                      float* invstd, float* running_mean, float* running_var, float momentum,
                      float eps, int64_t rows, int64_t C, int act, int threads, int half) {
  if (half)
    norm_act(static_cast<const bf16*>(x), static_cast<bf16*>(out), gamma, beta, mean, invstd,
             running_mean, running_var, momentum, eps, rows, C, act, threads);
  else
    norm_act(static_cast<const float*>(x), static_cast<float*>(out), gamma, beta, mean, invstd,
             running_mean, running_var, momentum, eps, rows, C, act, threads);
}

void pool(const void* x, float* out, int64_t N, int64_t pixels, int64_t C, int threads, int half) {
  if (half)
    pool_t(static_cast<const bf16*>(x), out, N, pixels, C, threads);
  else
    pool_t(static_cast<const float*>(x), out, N, pixels, C, threads);
}

void scale(const void* x, const float* gate, void* out, int64_t N, int64_t pixels, int64_t C,
           int threads, int half) {
  if (half)
    scale_t(static_cast<const bf16*>(x), gate, static_cast<bf16*>(out), N, pixels, C, threads);
  else
    scale_t(static_cast<const float*>(x), gate, static_cast<float*>(out), N, pixels, C, threads);
}

// Gradients of the above with respect to x (grad_in), gamma and beta, from x and its statistics.
void norm_act_backward(const float* grad, const float* x, float* grad_in, const float* gamma,
                       const float* beta, const float* mean, const float* invstd, float* grad_gamma,
                       float* grad_beta, int64_t rows, int64_t C, int act, int threads) {
  std::vector<double> partial(2 * C * threads, 0.0), sums(2 * C);
  std::vector<float> scale(C), shift(C);
  for (int64_t c = 0; c < C; ++c) {
    scale[c] = gamma[c] * invstd[c];
    shift[c] = beta[c] - mean[c] * scale[c];
  }
  const float *a = scale.data(), *b = shift.data();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    std::vector<float> block(2 * C);
    double* total = &partial[2 * C * t];
    const int64_t end = first_row(rows, t + 1, threads);
    for (int64_t begin = first_row(rows, t, threads); begin < end; begin += BLOCK) {
      std::fill(block.begin(), block.end(), 0.0f);
      float *s = block.data(), *q = s + C;
      for (int64_t r = begin; r < std::min(begin + BLOCK, end); ++r) {
        const float *g = grad + r * C, *row = x + r * C;
        float* to = grad_in + r * C;
        if (act == SILU) {
          norm_act_grad_row<SILU>(g, row, to, a, b, mean, s, q, C);
        } else if (act == RELU) {
          norm_act_grad_row<RELU>(g, row, to, a, b, mean, s, q, C);
        } else {
#pragma omp simd
          for (int64_t c = 0; c < C; ++c) {
            s[c] += g[c];
            q[c] += g[c] * (row[c] - mean[c]);
          }
        }
      }
      for (int64_t i = 0; i < 2 * C; ++i) total[i] += block[i];
    }
  }
  reduce(partial, threads, 2 * C, sums.data());
  // dx = scale * (dz - mean(dz) - xhat * mean(dz * xhat)) = scale * dz + slope * x + offset
  std::vector<float> slope(C), offset(C);
  for (int64_t c = 0; c < C; ++c) {
    const double g_gamma = sums[C + c] * invstd[c];
    grad_beta[c] = static_cast<float>(sums[c]);
    grad_gamma[c] = static_cast<float>(g_gamma);
    slope[c] = static_cast<float>(-scale[c] * invstd[c] * g_gamma / rows);
    offset[c] = static_cast<float>(-scale[c] * sums[c] / rows - slope[c] * mean[c]);
  }
  const float *k = slope.data(), *o = offset.data(), *from = act == NONE ? grad : grad_in;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    for (int64_t r = first_row(rows, t, threads); r < first_row(rows, t + 1, threads); ++r) {
      const float *dz = from + r * C, *row = x + r * C;
      float* to = grad_in + r * C;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) to[c] = a[c] * dz[c] + k[c] * row[c] + o[c];
    }
  }
}

// Weight gradient (C, K, K) of a depthwise convolution with padding K / 2, summed in strips of a row.
void depthwise_weight_grad(const float* x, const float* grad, float* out, int64_t N, int64_t H,
                           int64_t W, int64_t C, int64_t OH, int64_t OW, int64_t K, int64_t S,
                           int threads) {
  const int64_t pad = K / 2, blocks = (C + LANES - 1) / LANES;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t c0 = block * LANES, lanes = std::min<int64_t>(LANES, C - c0);
    std::vector<float> sums(K * K * LANES, 0.0f);
    std::vector<double> totals(K * K * LANES, 0.0);
    int64_t filled = 0;  // terms in each of `sums`, at most
    const auto flush = [&] {
      for (int64_t i = 0; i < K * K * LANES; ++i) totals[i] += sums[i];
      std::fill(sums.begin(), sums.end(), 0.0f);
      filled = 0;
    };
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t oy = 0; oy < OH; ++oy) {
        const float* g_row = grad + ((n * OH + oy) * OW) * C + c0;
        for (int64_t left = 0; left < OW; left += STRIP) {
          const int64_t right = std::min(left + STRIP, OW);
          if (filled + right - left > STRIP) flush();
          filled += right - left;
          for (int64_t ky = 0; ky < K; ++ky) {
            const int64_t y = oy * S + ky - pad;
            if (y < 0 || y >= H) continue;
            const float* x_row = x + ((n * H + y) * W) * C + c0;
            for (int64_t kx = 0; kx < K; ++kx) {
              const int64_t shift = kx - pad;  // of a column of x against one of the output
              const int64_t begin = std::max(shift < 0 ? (-shift + S - 1) / S : 0, left);
              const int64_t end = shift >= W ? 0 : std::min(right, (W - 1 - shift) / S + 1);
              float* sum = &sums[(ky * K + kx) * LANES];
              if (lanes == LANES) {
                float acc[LANES];
                for (int i = 0; i < LANES; ++i) acc[i] = sum[i];
                for (int64_t ox = begin; ox < end; ++ox) {
                  const float *g = g_row + ox * C, *v = x_row + (ox * S + shift) * C;
#pragma omp simd
                  for (int i = 0; i < LANES; ++i) acc[i] += g[i] * v[i];
                }
                for (int i = 0; i < LANES; ++i) sum[i] = acc[i];
              } else {
                for (int64_t ox = begin; ox < end; ++ox) {
                  const float *g = g_row + ox * C, *v = x_row + (ox * S + shift) * C;
                  for (int i = 0; i < lanes; ++i) sum[i] += g[i] * v[i];
                }
              }
            }
          }
        }
      }
    }
    flush();
    for (int64_t i = 0; i < lanes; ++i)
      for (int64_t k = 0; k < K * K; ++k)
        out[(c0 + i) * K * K + k] = static_cast<float>(totals[k * LANES + i]);
  }
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
