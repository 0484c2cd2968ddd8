// Each kernel's rate, and its fraction of what the machine could do in the same minute.
//
//   fastfisher_benchmarks --benchmark_filter='SYRK|Cholesky' --benchmark_repetitions=5
//
// Matrix products and factorisations are divided by one thread's multiply-add rate between registers times the threads;
// products with vectors by the rate of a plain sum over the same memory.  Both ceilings are measured right before the
// benchmark that they belong to, since the speed of a shared machine drifts.  FASTFISHER_SIMD chooses the level.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "fastfisher/fastfisher.hpp"

namespace {

using fastfisher::Context;
using fastfisher::Index;
using fastfisher::ScoresView;
using Clock = std::chrono::steady_clock;

constexpr double peak_seconds = 0.1;

template <class Real>
constexpr const char* precision_name = sizeof(Real) == 4 ? "f32" : "f64";

// Arrays as NumPy allocates them: large ones on huge pages where the system has them.
template <class Scalar>
struct HugePages {
  using value_type = Scalar;
  static constexpr std::align_val_t page{std::size_t{1} << 21};
  Scalar* allocate(std::size_t count) {
    void* memory = ::operator new(count * sizeof(Scalar), page);
#if defined(MADV_HUGEPAGE)
    madvise(memory, count * sizeof(Scalar), MADV_HUGEPAGE);
#endif
    return static_cast<Scalar*>(memory);
  }
  void deallocate(Scalar* memory, std::size_t) noexcept { ::operator delete(memory, page); }
  bool operator==(const HugePages&) const = default;
};

template <class Scalar>
using Array = std::vector<Scalar, HugePages<Scalar>>;

template <class Real>
Array<Real> normal_values(Index count) {
  std::mt19937 generator(1703);
  std::normal_distribution<float> normal;
  Array<Real> values(static_cast<std::size_t>(count));
  for (Real& value : values) value = static_cast<Real>(normal(generator));
  return values;
}

template <class Real>
ScoresView view(const Array<Real>& scores, Index samples, Index parameters) {
  return fastfisher::row_major<const Real>(scores.data(), samples, parameters);
}

// `operations` a call, divided by the multiply-add ceiling of `threads` cores.
template <class Real>
void report_arithmetic(benchmark::State& state, double operations, double peak, int threads) {
  using benchmark::Counter;
  state.counters["FLOP/s"] = Counter(operations, Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] = Counter(operations / (peak * threads), Counter::kIsIterationInvariantRate);
  state.counters["peak"] = Counter(peak);
}

template <class Real>
void fisher_syrk(benchmark::State& state, Index samples, Index parameters, int threads) {
  const Array<Real> scores = normal_values<Real>(samples * parameters);
  Array<Real> result(static_cast<std::size_t>(parameters * parameters));
  const double peak = fastfisher::measure_peak_flops<Real>(peak_seconds);
  for (auto _ : state) {
    fastfisher::fisher_product<Real>(view(scores, samples, parameters), nullptr, fastfisher::Update::assign,
                                     result.data(), Context{threads, {}});
  }
  // A symmetric product: half of the 2 N d^2 operations of a general one.
  report_arithmetic<Real>(state, static_cast<double>(samples * parameters * parameters), peak, threads);
}

template <class Real>
void gram_syrk(benchmark::State& state, Index samples, Index parameters, int threads) {
  const Array<Real> scores = normal_values<Real>(samples * parameters);
  Array<Real> result(static_cast<std::size_t>(samples * samples));
  const double peak = fastfisher::measure_peak_flops<Real>(peak_seconds);
  for (auto _ : state) {
    fastfisher::gram_product<Real>(view(scores, samples, parameters), nullptr, result.data(), Context{threads, {}});
  }
  report_arithmetic<Real>(state, static_cast<double>(samples * samples * parameters), peak, threads);
}

template <class Real>
void cholesky(benchmark::State& state, Index n, int threads) {
  // The factor of a random matrix with a dominant diagonal; its copy is not timed.
  Array<Real> matrix = normal_values<Real>(n * n);
  for (Index k = 0; k < n; ++k) matrix[static_cast<std::size_t>(k * (n + 1))] += static_cast<Real>(2 * n);
  const double peak = fastfisher::measure_peak_flops<Real>(peak_seconds);
  Array<Real> factor;
  for (auto _ : state) {
    state.PauseTiming();
    factor = matrix;
    state.ResumeTiming();
    if (fastfisher::cholesky<Real>(n, factor.data(), Context{threads, {}}) >= 0) {
      state.SkipWithError("the matrix is not positive definite");
      break;
    }
  }
  report_arithmetic<Real>(state, static_cast<double>(n * n * n) / 3.0, peak, threads);
}

// The rate at which this many threads read memory that does not fit in a cache: a sum that nothing else delays.
double read_bandwidth(const Array<double>& memory, int threads) {
  const auto size = static_cast<Index>(memory.size());
  const ScoresView rows = fastfisher::row_major<const double>(memory.data(), 1024, size / 1024);
  std::vector<double> norms(1024);
  double best = 0.0;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const auto start = Clock::now();
    fastfisher::square_norms(rows, norms.data(), Context{threads, {}});
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(size * static_cast<Index>(sizeof(double))) / seconds);
  }
  return best;
}

template <class Real>
void fisher_vector(benchmark::State& state, Index samples, Index parameters, int threads) {
  const Array<Real> scores = normal_values<Real>(samples * parameters);
  const Array<Real> v = normal_values<Real>(parameters);
  Array<Real> result(v.size());
  const double bandwidth = read_bandwidth(Array<double>(std::size_t{1} << 26, 1.0), threads);
  for (auto _ : state) {
    fastfisher::fisher_matvec<Real>(view(scores, samples, parameters), nullptr, v.data(), nullptr, result.data(),
                                    Context{threads, {}});
  }
  using benchmark::Counter;
  const double bytes = static_cast<double>(samples * parameters) * sizeof(Real);
  state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
  state.counters["of_bandwidth"] = Counter(bytes / bandwidth, Counter::kIsIterationInvariantRate);
  state.counters["bandwidth"] = Counter(bandwidth);
}

template <class Real>
void natural_step(benchmark::State& state, Index samples, Index parameters, fastfisher::Solver solver, int threads) {
  const Array<Real> scores = normal_values<Real>(samples * parameters);
  const Array<double> advantages = normal_values<double>(samples);
  fastfisher::Batch batch;
  batch.scores = view(scores, samples, parameters);
  batch.advantages = advantages.data();
  fastfisher::StepOptions options;
  options.solver = solver;
  for (auto _ : state) {
    benchmark::DoNotOptimize(fastfisher::natural_step(batch, options, Context{threads, {}}));
  }
}

std::string shape(Index rows, Index columns) { return std::to_string(rows) + "x" + std::to_string(columns); }

template <class Function>
void add(const std::string& name, const char* precision, int threads, const Function& function) {
  const std::string full_name = name + "/" + precision + "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(full_name.c_str(), function)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime()
      ->ComputeStatistics(
          "best", [](const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); });
}

template <class Real>
void add_all(int threads) {
  const char* precision = precision_name<Real>;
  constexpr Index syrk_shapes[][2] = {{5000, 1000}, {1000, 5000}, {20000, 200}, {200000, 100}, {10000, 114}};
  for (const auto& [n, d] : syrk_shapes) {
    add("SYRK_StS/" + shape(n, d), precision, threads,
        [n = n, d = d, threads](benchmark::State& state) { fisher_syrk<Real>(state, n, d, threads); });
  }
  constexpr Index gram_shapes[][2] = {{5000, 1000}, {1000, 5000}, {400, 6000}};
  for (const auto& [n, d] : gram_shapes) {
    add("SYRK_SSt/" + shape(n, d), precision, threads,
        [n = n, d = d, threads](benchmark::State& state) { gram_syrk<Real>(state, n, d, threads); });
  }
  for (const Index n : {100, 500, 1000, 2000, 5000}) {
    add("Cholesky/" + std::to_string(n), precision, threads,
        [n, threads](benchmark::State& state) { cholesky<Real>(state, n, threads); });
  }
  constexpr Index product_shapes[][2] = {{20000, 5000}, {200000, 200}};
  for (const auto& [n, d] : product_shapes) {
    add("FisherVector/" + shape(n, d), precision, threads,
        [n = n, d = d, threads](benchmark::State& state) { fisher_vector<Real>(state, n, d, threads); });
  }
  using fastfisher::Solver;
  constexpr Index step_shapes[][2] = {{10000, 114}, {2000, 5702}};
  for (const auto& [n, d] : step_shapes) {
    for (const Solver solver : {Solver::cholesky, Solver::gram, Solver::conjugate_gradient}) {
      if (solver == Solver::gram && n > 4000) continue;
      add("NaturalStep/" + std::string(name(solver)) + "/" + shape(n, d), precision, threads,
          [n = n, d = d, solver, threads](benchmark::State& state) {
            natural_step<Real>(state, n, d, solver, threads);
          });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::AddCustomContext("simd", std::string(fastfisher::simd_level()));
  benchmark::AddCustomContext("processors", std::to_string(fastfisher::usable_processors()));
  for (int threads = 1; threads <= fastfisher::usable_processors(); threads *= 2) {
    add_all<float>(threads);
    add_all<double>(threads);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
