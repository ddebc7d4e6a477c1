#!/usr/bin/env escript
%% A checkout pool of Erlang's ports, doing what bench/load has muster's do:
%%
%%     pools.escript MILLISECONDS PROGRAM ARGUMENT...
%%
%% The pool is what Elixir's NimblePool is around ports, on the same virtual machine: one process owns
%% the idle ports and the callers that wait for one, hands a port over to the process that checks it
%% out, watches that process, and gets the port back. The program is a worker of muster's: its frames
%% are {packet, 4}, and nouse_stdio are the fds 3 and 4 that it talks on. A request is a frame made
%% beforehand, and its answer is looked at, but not decoded.
%%
%% Prints ports_8 and ports_100: requests per second of so many processes in a closed loop.
-mode(compile).
-define(WORKERS, 8).
-define(REQUEST, <<16#95, 0, 1, 16#a4, "echo", 16#81, 16#a1, "x", 16#cd, 1234:16, 16#c0>>).
-define(ANSWER, <<16#94, 1, 1, 16#c0, 16#81, 16#a1, "x", 16#cd, 1234:16>>).
-define(READY, 16#93, 2, 16#a5, "ready").

main([Text, Program | Arguments]) ->
    Ms = list_to_integer(Text),
    Pool = start(Program, Arguments),
    [io:format("ports_~b ~.1f~n", [Callers, rate(Pool, Callers, Ms)]) || Callers <- [?WORKERS, 100]].

%% ---- the pool

start(Program, Arguments) ->
    Starter = self(),
    Pool = spawn_link(fun() ->
        Ports = [open(Number, Program, Arguments) || Number <- lists:seq(1, ?WORKERS)],
        [await_ready(Port) || Port <- Ports],
        Starter ! {started, self()},
        serve(Ports, queue:new())
    end),
    receive {started, Pool} -> Pool end.

open(Number, Program, Arguments) ->
    Name = "worker_" ++ integer_to_list(Number),
    open_port({spawn_executable, Program},
              [{args, Arguments}, {packet, 4}, binary, nouse_stdio,
               {env, [{"MUSTER_PROTOCOL", "1"}, {"MUSTER_WORKER_ID", Name}]}]).

await_ready(Port) ->
    receive
        {Port, {data, <<?READY, _/binary>>}} -> ok;
        {Port, {data, _Hello}} -> await_ready(Port)
    end.

%% Those who wait are only there while no port is idle.
serve(Idle, Waiting) ->
    receive
        {checkout, Client} when Idle =:= [] ->
            serve([], queue:in(Client, Waiting));
        {checkout, Client} ->
            lend(hd(Idle), Client),
            serve(tl(Idle), Waiting);
        {checkin, Port, Watch} ->
            demonitor(Watch, [flush]),
            case queue:out(Waiting) of
                {{value, Client}, Rest} -> lend(Port, Client), serve(Idle, Rest);
                {empty, Waiting} -> serve([Port | Idle], Waiting)
            end;
        {'DOWN', _Watch, process, _Client, Reason} ->
            exit(Reason)
    end.

lend(Port, Client) ->
    Watch = monitor(process, Client),
    give(Port, Client),
    Client ! {lent, Port, Watch}.

give(Port, To) ->
    true = erlang:port_connect(Port, To),
    unlink(Port).

%% ---- the callers

ask(Pool) ->
    Pool ! {checkout, self()},
    {Port, Watch} = receive {lent, Lent, Watched} -> {Lent, Watched} end,
    true = port_command(Port, ?REQUEST),
    receive {Port, {data, ?ANSWER}} -> ok end,
    give(Port, Pool),
    Pool ! {checkin, Port, Watch}.

rate(Pool, Callers, Ms) ->
    Self = self(),
    Begun = erlang:monotonic_time(microsecond),
    End = Begun + Ms * 1000,
    [spawn_link(fun() -> Self ! {asked, loop(Pool, End, 0)} end) || _ <- lists:seq(1, Callers)],
    Asked = lists:sum([receive {asked, Count} -> Count end || _ <- lists:seq(1, Callers)]),
    Asked * 1.0e6 / (erlang:monotonic_time(microsecond) - Begun).

loop(Pool, End, Count) ->
    ask(Pool),
    case erlang:monotonic_time(microsecond) of
        Now when Now < End -> loop(Pool, End, Count + 1);
        _ -> Count + 1
    end.
