// Streams, events and requests: order across streams, polling, deadlines.
#include "core/device/cuda/event.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/base/error.h"
#include "core/device/cuda/buffer.h"
#include "core/device/cuda/check.h"

namespace edgetrain {
namespace {

constexpr std::chrono::seconds kDeadline{30};

// Holds a stream back until the host lets go, so that "not yet" can be seen.
class Gate {
 public:
  explicit Gate(const CudaStream& stream) {
    cuda::check(cudaLaunchHostFunc(stream.handle(), wait_until_open, this), "cudaLaunchHostFunc");
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { open(); }
  void open() { open_ = true; }

 private:
  static void wait_until_open(void* gate) {
    while (!static_cast<Gate*>(gate)->open_) std::this_thread::yield();
  }
  std::atomic<bool> open_ = false;
};

void set_async(std::byte* target, int value, std::size_t bytes, const CudaStream& stream) {
  cuda::check(cudaMemsetAsync(target, value, bytes, stream.handle()), "cudaMemsetAsync");
}

TEST(CudaDevice, ThereIsAGpu) {
  int devices = 0;
  ASSERT_EQ(cudaGetDeviceCount(&devices), cudaSuccess) << "no usable GPU: nothing was tested";
  ASSERT_GT(devices, 0);
}

TEST(CudaRequest, IsCompleteOnlyWhenTheStreamGotThere) {
  const CudaStream stream;
  Gate gate(stream);
  Request request = completion_of(stream, "the gate");
  EXPECT_FALSE(request.test());
  EXPECT_EQ(request.describe(), "the gate");
  gate.open();
  request.wait_host(kDeadline);
  EXPECT_TRUE(request.test());
}

TEST(CudaRequest, APassedDeadlineNamesTheWork) {
  const CudaStream stream;
  Gate gate(stream);
  Request request = completion_of(stream, "copy in blocks.3");
  try {
    request.wait_host(std::chrono::milliseconds(20));
    FAIL() << "the gate is closed";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::hang);
    EXPECT_NE(std::string(error.what()).find("copy in blocks.3"), std::string::npos) << error.what();
  }
  gate.open();
  stream.synchronize();
}

TEST(CudaRequest, OrdersAnotherStreamWithoutBlockingTheHost) {
  constexpr std::size_t kBytes = 1 << 20;
  const CudaBuffer buffer(kBytes);
  CudaStream producer, consumer;
  Gate gate(producer);
  set_async(buffer.data(), 1, kBytes, producer);
  const Request produced = completion_of(producer, "producer");
  produced.wait(consumer);  // returns although the gate is closed
  set_async(buffer.data(), 2, kBytes, consumer);
  Request consumed = completion_of(consumer, "consumer");
  EXPECT_FALSE(consumed.test());
  gate.open();
  consumed.wait_host(kDeadline);
  std::byte last{};
  cuda::check(cudaMemcpy(&last, buffer.data() + kBytes - 1, 1, cudaMemcpyDeviceToHost), "cudaMemcpy");
  EXPECT_EQ(last, std::byte{2});
}

TEST(CudaRequest, AHostStreamWaits) {
  const CudaStream stream;
  Gate gate(stream);
  const Request request = completion_of(stream, "the gate");
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    gate.open();
  });
  HostStream host;
  request.wait(host);
  opener.join();
  Request done = request;
  EXPECT_TRUE(done.test());
}

TEST(CudaBuffer, IsZeroedAndMovable) {
  CudaBuffer buffer(1027);
  const std::byte* data = buffer.data();
  CudaBuffer moved = std::move(buffer);
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.bytes(), 1027);
  std::byte bytes[1027];
  cuda::check(cudaMemcpy(bytes, moved.data(), sizeof bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
  for (const auto byte : bytes) EXPECT_EQ(byte, std::byte{0});
}

TEST(CudaBuffer, TooMuchIsRefusedWithTheNumber) {
  try {
    const CudaBuffer buffer(std::int64_t{1} << 50);
    FAIL() << "a petabyte";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::resource);
    EXPECT_NE(std::string(error.what()).find("1125899906842624"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(CudaBuffer(16));  // the failure is not sticky
}

TEST(PinnedBuffer, IsCopiedByTheDevice) {
  const CudaStream stream;
  const PinnedBuffer host(4096);
  const CudaBuffer device(4096);
  set_async(device.data(), 7, 4096, stream);
  cuda::check(cudaMemcpyAsync(host.data(), device.data(), 4096, cudaMemcpyDeviceToHost, stream.handle()),
              "cudaMemcpyAsync");
  completion_of(stream, "copy out").wait_host(kDeadline);
  EXPECT_EQ(host.data()[4095], std::byte{7});
}

}  // namespace
}  // namespace edgetrain
