# The checkout pool of pools.escript as it is written in Elixir, around the same ports with the same request:
#
#     elixir pools.exs MILLISECONDS PROGRAM ARGUMENT...
#
# It is NimblePool with what a port needs and nothing else: a GenServer owns the idle ports and the queue of those who
# wait for one, watches whoever has one, and keeps none of the time; checking out is a call that is answered when there
# is a port, and a checked-out port talks to its client without the pool.
#
# Prints elixir_8 and elixir_100: requests per second of so many processes in a closed loop.
defmodule CheckoutPool do
  use GenServer

  def start_link(worker, size), do: GenServer.start_link(__MODULE__, {worker, size})

  # Lends a port to `function` and takes it back.
  def checkout!(pool, function) do
    {watch, port} = GenServer.call(pool, :checkout, :infinity)

    try do
      function.(port)
    after
      give(port, pool)
      send(pool, {:checkin, port, watch})
    end
  end

  @impl true
  def init({worker, size}) do
    ports = for number <- 1..size, do: open(worker, number)
    Enum.each(ports, &await_ready/1)
    {:ok, %{idle: ports, waiting: :queue.new()}}
  end

  @impl true
  def handle_call(:checkout, from, %{idle: []} = state) do
    {:noreply, %{state | waiting: :queue.in(from, state.waiting)}}
  end

  def handle_call(:checkout, from, %{idle: [port | idle]} = state) do
    lend(port, from)
    {:noreply, %{state | idle: idle}}
  end

  @impl true
  def handle_info({:checkin, port, watch}, state) do
    Process.demonitor(watch, [:flush])

    case :queue.out(state.waiting) do
      {{:value, client}, waiting} ->
        lend(port, client)
        {:noreply, %{state | waiting: waiting}}

      {:empty, _} ->
        {:noreply, %{state | idle: [port | state.idle]}}
    end
  end

  def handle_info({:DOWN, _watch, :process, _client, reason}, state), do: {:stop, reason, state}

  defp open({program, arguments}, number) do
    environment = [{'MUSTER_PROTOCOL', '1'}, {'MUSTER_WORKER_ID', 'worker_#{number}'}]
    options = [:binary, :nouse_stdio, :exit_status, packet: 4, args: arguments, env: environment]
    Port.open({:spawn_executable, program}, options)
  end

  defp await_ready(port) do
    receive do
      {^port, {:data, <<0x93, 2, 0xA5, "ready", _::binary>>}} -> :ok
      {^port, {:data, _hello}} -> await_ready(port)
      {^port, {:exit_status, status}} -> exit({:worker_ended, status})
    end
  end

  defp lend(port, {client, _tag} = from) do
    watch = Process.monitor(client)
    give(port, client)
    GenServer.reply(from, {watch, port})
  end

  defp give(port, to) do
    true = Port.connect(port, to)
    Process.unlink(port)
  end
end

defmodule Load do
  @request <<0x95, 0, 1, 0xA4, "echo", 0x81, 0xA1, "x", 0xCD, 1234::16, 0xC0>>
  @answer <<0x94, 1, 1, 0xC0, 0x81, 0xA1, "x", 0xCD, 1234::16>>

  def rate(pool, callers, ms) do
    begun = System.monotonic_time(:microsecond)
    until = begun + ms * 1000
    tasks = for _ <- 1..callers, do: Task.async(fn -> loop(pool, until, 0) end)
    asked = tasks |> Task.await_many(:infinity) |> Enum.sum()
    asked * 1.0e6 / (System.monotonic_time(:microsecond) - begun)
  end

  defp loop(pool, until, count) do
    CheckoutPool.checkout!(pool, &ask/1)
    if System.monotonic_time(:microsecond) < until, do: loop(pool, until, count + 1), else: count + 1
  end

  defp ask(port) do
    true = Port.command(port, @request)

    receive do
      {^port, {:data, @answer}} -> :ok
      {^port, {:exit_status, status}} -> exit({:worker_ended, status})
    end
  end
end

[ms, program | arguments] = System.argv()
{:ok, pool} = CheckoutPool.start_link({program, arguments}, 8)

for callers <- [8, 100] do
  :io.format("elixir_~b ~.1f~n", [callers, Load.rate(pool, callers, String.to_integer(ms))])
end
