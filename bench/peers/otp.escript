#!/usr/bin/env escript
%% What bench/actors measures, done by Erlang's own OTP: otp.escript MILLISECONDS
%%
%% Prints one line for each figure, its name and its value. Runs under as many schedulers as the
%% processors that it was started on. Compiled, since an interpreted escript is many times slower.
-mode(compile).
-export([init/1, handle_call/3, handle_cast/2, start_child/1]).

main([Text]) ->
    Ms = list_to_integer(Text),
    logger:set_primary_config(level, none),  % reports of killed children would be measured, too
    say(release, erlang:system_info(otp_release)),
    say(call, rate(fun call/1, start_server(), Ms)),
    [say(["cast_", integer_to_list(N)], cast(N, 100 * Ms)) || N <- [1, 2, 4]],
    say(start_stop, rate(fun start_and_stop/1, none, Ms)),
    restart(Ms),
    lookup(Ms).

say(Name, Value) when is_list(Value) ->
    io:format("~s ~s~n", [Name, Value]);
say(Name, Value) ->
    io:format("~s ~.3f~n", [Name, float(Value)]).

now_us() ->
    erlang:monotonic_time(microsecond).

%% How often a second Fun(Arg) can be done; it does `Done` pieces of work each time.
rate(Fun, Arg, Ms) ->
    Begun = now_us(),
    rate(Fun, Arg, Begun, Begun + Ms * 1000, 0).

rate(Fun, Arg, Begun, End, Count) ->
    Done = Fun(Arg),
    case now_us() of
        Now when Now < End -> rate(Fun, Arg, Begun, End, Count + Done);
        Now -> (Count + Done) * 1.0e6 / (Now - Begun)
    end.

%% ---- a server

init({supervisor, Watcher}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1},
          [#{id => child, start => {?MODULE, start_child, [Watcher]}}]}};
init({child, Watcher}) ->
    Watcher ! {started, self()},
    {ok, none};
init(State) ->
    {ok, State}.

handle_call(_Request, _From, State) ->
    {reply, ok, State}.

handle_cast({last, Watcher}, 1) ->
    Watcher ! done,
    {noreply, 0};
handle_cast({last, _Watcher}, Left) ->
    {noreply, Left - 1};
handle_cast(_Message, State) ->
    {noreply, State}.

start_server() ->
    {ok, Pid} = gen_server:start(?MODULE, none, []),
    Pid.

call(Pid) ->
    call(Pid, 100).

call(_Pid, 0) ->
    100;
call(Pid, Left) ->
    ok = gen_server:call(Pid, request),
    call(Pid, Left - 1).

start_and_stop(_) ->
    ok = gen_server:stop(start_server()),
    1.

%% ---- casts: messages per second from the first to the last one handled

cast(Producers, Each) ->
    {ok, Server} = gen_server:start(?MODULE, Producers, []),
    Self = self(),
    Pids = [spawn_link(fun() -> receive go -> produce(Server, Self, Each) end end)
            || _ <- lists:seq(1, Producers)],
    Begun = now_us(),
    [Pid ! go || Pid <- Pids],
    receive done -> ok end,
    Took = now_us() - Begun,
    gen_server:stop(Server),
    Producers * Each * 1.0e6 / Took.

produce(Server, Watcher, 1) ->
    gen_server:cast(Server, {last, Watcher});
produce(Server, Watcher, Left) ->
    gen_server:cast(Server, message),
    produce(Server, Watcher, Left - 1).

%% ---- from the kill of a child to its successor's init

start_child(Watcher) ->
    gen_server:start_link(?MODULE, {child, Watcher}, []).

restart(Ms) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, self()}),
    First = receive {started, Pid} -> Pid end,
    say(restart_us, restart(First, now_us() + Ms * 1000, [])),
    unlink(Supervisor),
    exit(Supervisor, kill).

restart(Pid, End, Taken) ->
    Begun = erlang:monotonic_time(nanosecond),
    exit(Pid, kill),
    Next = receive {started, New} -> New end,
    Took = erlang:monotonic_time(nanosecond) - Begun,
    case now_us() < End of
        true -> restart(Next, End, [Took | Taken]);
        false -> median([Took | Taken]) / 1000
    end.

median(List) ->
    lists:nth((length(List) + 1) div 2, lists:sort(List)).

%% ---- lookups, as Elixir's Registry.lookup does them for unique keys: which table, who, alive?

lookup(Ms) ->
    Registry = ets:new(registry, [named_table, set, public, {read_concurrency, true}]),
    Table = ets:new(keys, [set, public, {read_concurrency, true}]),
    ets:insert(Registry, {key_info, {unique, 1, Table}}),
    Keys = [iolist_to_binary(io_lib:format("name-~b", [I])) || I <- lists:seq(0, 999)],
    [ets:insert(Table, {Key, {self(), none}}) || Key <- Keys],
    say(lookup_1, rate(fun find_all/1, {Registry, Keys}, Ms)),
    Self = self(),
    [spawn_link(fun() -> Self ! {rate, rate(fun find_all/1, {Registry, Keys}, Ms)} end)
     || _ <- [1, 2]],
    say(lookup_2, lists:sum([receive {rate, Rate} -> Rate end || _ <- [1, 2]])).

find_all({Registry, Keys}) ->
    lists:foreach(fun(Key) -> true = find(Registry, Key) end, Keys),
    1000.

find(Registry, Key) ->
    [{key_info, {unique, _Partitions, Table}}] = ets:lookup(Registry, key_info),
    try ets:lookup_element(Table, Key, 2) of
        {Pid, _Value} -> is_process_alive(Pid)
    catch
        error:badarg -> false
    end.
