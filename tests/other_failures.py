"""Failures beside the fault matrix: what must happen, and the tests that show it; a table of docs/reliability.md."""

# ruff: noqa: E501 - cells of a table

OTHER = (  # failure, required outcome, tests
    (
        "records of 128 to 65,536 bytes",
        "all events, byte for byte",
        ["test_other_record_lengths", "test_a_file_of_long_records"],
    ),
    (
        "Steim 1 and 2, integers and floats, miniSEED 2 and 3",
        "all events, byte for byte",
        ["test_other_encodings"],
    ),
    (
        "a client that reads slowly",
        "receives everything",
        ["test_a_slow_reader_receives_everything"],
    ),
    (
        "inference slower than the stream",
        "drops and counts the oldest windows, but no sample",
        ["test_backlog.py"],
    ),
    (
        "`kill -9` at random moments (200 times in the long run)",
        "resumes; no line lost or doubled",
        ["test_kill_9", "test_killed_between_packets"],
    ),
    (
        "a damaged state file",
        "renames the file and reads the stream again from where the source begins",
        ["test_a_damaged_journal_is_set_aside"],
    ),
    (
        "a full disk",
        "sends events to the sinks, retries the journal every 10 s",
        [
            "test_a_disk_that_is_full_for_a_while",
            "test_a_full_disk_leaves_whole_lines",
        ],
    ),
    (
        "`kill -9` while snippets and an archive are written (200 times in the long run)",
        "each final event has one snippet with the records of the server, the archive each record once",
        ["test_kill_9_leaves_each_event_one_snippet"],
    ),
    (
        "a record that is set aside while snippets are written",
        "the snippets take it from the archive, else they state the gap",
        ["test_a_record_that_is_set_aside", "test_whose_record_was_set_aside"],
    ),
    (
        "a stop before the records after an event have arrived",
        "the records so far are written, and the next run adds what is sent again; without a state folder the reason",
        [
            "test_a_stop_before_all_records_have_arrived",
            "test_a_stop_keeps_the_records_of_all_events",
            "test_a_second_stop_keeps_what_the_first_wrote",
        ],
    ),
    (
        "a full disk, an unusable folder or a fault of the program while snippets and an archive are written",
        "no event line changes; reported in `/healthz`; what can still be written is written later, else the reason",
        [
            "test_a_full_disk_until_the_next_run",
            "test_a_folder_that_cannot_be_written",
            "test_a_programming_error_is_reported",
            "test_too_many_events_wait",
        ],
    ),
    (
        "a disk that fills up beside snippets and an archive",
        "the oldest files of the archive are deleted, then the oldest snippets; the floor of free space holds",
        ["test_free_space_snippets_last", "test_the_floor_holds_in_a_long_run"],
    ),
    (
        "eight browsers on the page, some of which stop reading",
        "all events, byte for byte; a client that does not read is disconnected",
        [
            "test_events_are_the_same_with_eight_clients_some_of_them_stalled",
            "test_a_stream_that_is_not_read_has_a_bounded_buffer_and_ends",
        ],
    ),
    (
        "a thousand connections to the page; a client that reads a byte a minute",
        "connections and memory stay bounded, the next client is served",
        [
            "test_a_thousand_clients_and_the_next_one_is_served",
            "test_a_client_that_reads_a_byte_a_minute_is_disconnected",
        ],
    ),
    (
        "the port of the page is taken",
        "logs it, runs without the page, tries the port again every 30 s",
        [
            "test_a_port_that_is_taken_is_one_warning_and_the_station_runs",
            "test_a_port_that_is_taken_is_opened_when_it_is_free",
        ],
    ),
    (
        "a page beyond this machine without a token; its token file or its host cannot be used",
        "logs one error, has it in `/healthz`, runs without the page",
        [
            "test_a_page_that_cannot_be_shown_is_one_error_and_the_station_runs",
            "test_the_page_beyond_this_machine_needs_a_token_or_the_word_open",
        ],
    ),
    (
        "a request to the page with a foreign `Host`, another method or a path of the disk",
        "refuses it with one sentence",
        ["test_a_foreign_host_is_refused_against_dns_rebinding", "test_only_get_and_head"],
    ),
    (
        "a read-only or broken disk at the start",
        "runs without storing until the disk works",
        [
            "test_a_disk_fault_at_the_start",
            "test_a_disk_that_is_repaired_during_the_run",
        ],
    ),
    (
        "a sink that is down",
        "continues inference, delivers the lines in order later",
        [
            "test_one_is_down_the_other_is_not",
            "test_down_and_back_in_order",
        ],
    ),
    (
        "SIGTERM, also while a sink hangs",
        "exit status 0 within 5 s",
        [
            "test_stopped_in_the_stream_and_resumed",
            "test_stopped_with_a_hanging_sink",
        ],
    ),
    (
        "spikes, steps, flat and clipped traces, calibrations, teleseisms without a flag of the digitizer",
        "masks and reports them; they open no event and get no magnitude",
        ["test_bad_data.py"],
    ),
    (
        "a sampling rate that drifts",
        "makes no gap, corrects the time every half sample",
        ["test_a_drifting_clock_makes_no_gaps_and_keeps_time"],
    ),
    (
        "start times that jitter, drift, restart and swap at random (10,000 streams in the long run)",
        "no exception, no sample lost that is not late",
        ["test_no_sample_is_lost_that_is_not_late", "test_no_sample_is_lost_in_ten_thousand_streams"],
    ),
    (
        "two packets swapped at the start or behind a gap; a backlog sent newest first",
        "no sample lost within the wait, no bit changed",
        [
            "test_two_packets_swapped_at_a_start_change_no_bit",
            "test_a_backlog_that_is_sent_newest_first_loses_nothing_within_the_wait",
        ],
    ),
    (
        "sampling rates such as 99.9999, 100.02 or 7,777.77 Hz",
        "a few MB for the kernel; times exact to 8 microseconds",
        ["test_the_memory_of_a_kernel_is_bounded", "test_rounded_phases_shift_an_output_by_up_to_2_microseconds"],
    ),
    (
        "a forged record of minutes",
        "held apart, discarded for the true samples",
        ["test_false_samples_are_discarded_for_the_true_ones"],
    ),
    (
        "one packet with a wrong time",
        "the events of the same data without that packet",
        ["test_a_single_packet_with_a_wrong_time_is_a_gap_and_nothing_else"],
    ),
    (
        "fill values (1e20)",
        "masked as missing samples",
        ["test_floats_from_1e12_on_are_invalid"],
    ),
    (
        "miniSEED 3 record with 65, 1,100 or 30,000 levels of JSON in its extra headers",
        "dead letter, next record at once",
        ["test_deeply_nested_extra_headers_are_refused"],
    ),
    (
        "an exception in decoding a record",
        "dead letter with the exception's type, next record",
        ["test_an_exception_becomes_a_failed_record"],
    ),
    (
        "an exception in the timeline, the trigger or a model",
        "dead letter; open events of that station are closed, it begins anew; other stations unaffected; same lines whatever the packing, and after a kill; `degraded`",
        ["test_failed_records.py"],
    ),
    (
        "a stored state that raises an exception when it is restored",
        "the station begins anew",
        ["test_a_stored_state_that_raises_an_exception_is_not_used"],
    ),
    (
        "a record whose handling kills the process (SIGKILL, as the kernel does without memory), with a state folder",
        "the fourth run sets it aside; all other lines as without it",
        ["test_in_progress.py"],
    ),
    (
        "damaged miniSEED 3 record of floats or 32-bit integers",
        "refused by its checksum",
        ["test_the_checksum_of_version_3_is_checked"],
    ),
    (
        "signaling NaN in float samples",
        "a missing sample, no warning of numpy",
        ["test_signaling_nans_become_quiet_ones"],
    ),
    (
        "codes with dashes, of 8 characters; `--` as location",
        "used as any other; refused by name where SeedLink 3 has no room",
        ["test_codes.py"],
    ),
    (
        "a sampling rate that changes with each record",
        "no growth of memory",
        ["test_streams_of_mutated_records_through_a_station"],
    ),
    (
        "ten million mutated valid records (`make fuzz`; three million in `make test-long`)",
        "no exception, ≤ 50 MB growth",
        ["test_fuzz.py"],
    ),
    (
        "any setting is nan, inf, 1e308, an integer of thousands of digits, a text of 100 kB, has a NUL or an escape sequence",
        "exit 2, one sentence that names the key",
        ["test_hostile_values.py"],
    ),
    (
        "a URL without a host, with a port 99999 or `abc`, an open bracket, an umlaut, a line break, a host label of 70 characters",
        "exit 2 at the start; the URL is not repeated",
        ["test_addresses.py", "test_hostile_values.py"],
    ),
    (
        "a station file of nested arrays, of a key with 100,000 dots, of 100 MB",
        "exit 2 in less than 1 s",
        ["test_hostile_values.py"],
    ),
    (
        "StationXML two million levels deep; one attribute or comment of 100 MB; utf-7",
        "exit 2 in less than 1 s",
        ["test_xmlfile.py"],
    ),
    (
        "StationXML with an epoch of another sampling rate at the same time",
        "the gain of the epoch with the rate of the data",
        ["test_channels.py"],
    ),
    (
        "StationXML with an invalid value at another station or channel",
        "no effect",
        ["test_stationxml.py"],
    ),
    (
        "StationXML with a dip of 240, a sensitivity of 1e-300",
        "refused or `uncalibrated`, named; no `M nan`",
        ["test_stationxml.py", "test_channels.py"],
    ),
    (
        "a model file whose graph needs 4 TB, 8 GB or more than 60 s",
        "refused at the start; the station's process allocates nothing",
        ["test_first_open.py"],
    ),
    (
        "a model file with sub-graphs, weights in other files, 10,001 nodes, a card of 50 MB or nested JSON",
        "exit 2, one sentence",
        ["test_first_open.py", "test_card.py"],
    ),
    (
        "a model that gives infinite values or another number of windows",
        "refused at the start; during a run no estimate, never `null`",
        ["test_first_open.py", "test_event_estimator.py", "test_onset_detector.py"],
    ),
    (
        "escape sequences in a card, a path or a message of a server",
        "printed as `\\x1b` or refused",
        ["test_text.py", "test_card.py"],
    ),
    (
        "a catalogue with depth and core phases, a pick without a time, XML of a million levels",
        "ignored and counted; refused in less than 1 s",
        ["test_parts.py"],
    ),
    (
        "a damaged line in the outbox (any byte flipped)",
        "goes to `sink-dead-letters.jsonl` with its id; all other lines are delivered",
        ["test_a_damaged_line_goes_to_the_dead_letters_and_the_next_is_delivered"],
    ),
    (
        "an exception of any kind in the thread of a sink",
        "the thread is restarted with a growing delay, `/healthz` reports it, no line is lost",
        ["test_a_thread_that_ends_by_an_exception_is_restarted"],
    ),
    (
        "a damaged page that only a sink reads",
        "the journal is set aside as at the start, the run goes on",
        ["test_damage_that_only_a_sink_has_read"],
    ),
    (
        "a webhook that sends a byte at a time: status line, headers, `100 Continue` without end, TLS handshake, proxy",
        "ends at `timeout_s`, is retried, `/healthz` reports `degraded`",
        [
            "test_a_dripping_answer_ends_at_the_deadline",
            "test_a_tls_handshake_that_drips",
            "test_a_proxy_that_drips",
            "test_tls_with_a_verified_certificate",
        ],
    ),
    (
        "a webhook that sends its body a byte at a time",
        "the status decides: a line is delivered or refused at once or at `timeout_s`",
        ["test_the_body_of_an_answer_decides_nothing"],
    ),
    (
        "a webhook that refuses lines for good (400, 413 …)",
        "every line is in the dead letters with the answer; the summary counts them",
        ["test_a_webhook_that_refuses_every_line"],
    ),
    (
        "an MQTT broker that does not acknowledge, or never answers",
        "one copy per line, retried, the other sinks go on",
        ["test_a_broker_that_does_not_acknowledge_gets_one_copy", "test_a_broker_that_never_answers_the_handshake"],
    ),
    (
        "an exception in the thread of paho",
        "reconnects",
        ["test_an_exception_in_the_thread_of_paho"],
    ),
    (
        "a wall clock that is weeks wrong and then set right",
        "no waiting line and no remembered revision is dropped",
        ["test_a_wall_clock_that_is_set_right_loses_nothing"],
    ),
    (
        "more waiting lines than `max_lines`",
        "the oldest are dropped and counted; all counts of waiting lines agree",
        ["test_every_count_of_waiting_lines_is_without_the_dropped_ones"],
    ),
    (
        "any file of the state folder, or the folder, removed or replaced during a run",
        "no second run gets in, the journal is written again within a second, nothing is lost",
        ["test_no_second_run_and_nothing_lost"],
    ),
    (
        "`--events` on a full disk without a state folder",
        "standard output goes on; whole lines in the file; exit status 1 with the number of lines lost",
        ["test_events_on_a_full_disk_do_not_stop_standard_output", "test_events_to_a_full_device"],
    ),
    (
        "a plain umask",
        "everything that a run creates is readable by its owner only",
        ["test_rights_of_everything_that_a_run_creates"],
    ),
    (
        "channel or location codes other than in the station file, a station file of another station, a URL that selects nothing",
        "`outage` after 120 s, with what is configured and what arrives; the watchdog is notified",
        ["test_nothing_usable_is_an_outage", "test_without_a_station_file_and_without_data"],
    ),
    (
        "a vertical that dies, a configured channel that never comes",
        "`degraded`, with the channel and the time",
        ["test_a_vertical_that_dies", "test_a_configured_channel_that_never_comes"],
    ),
    (
        "the same records again and again",
        "`outage` after 300 s",
        ["test_the_same_record_again_and_again_is_no_progress"],
    ),
    (
        "nobody reads standard output (a stopped `tee`, a hung log collector)",
        "all events go to the other sinks, `degraded`, exit status 0 within 5 s of SIGTERM",
        ["test_nobody_reads_the_output", "test_a_reader_that_stops_blocks_nobody_and_is_told_what_it_missed"],
    ),
    (
        "a file whose events are read slowly or late",
        "loses no line",
        ["test_a_file_waits_for_the_reader_of_its_events", "test_deliver_waits_and_loses_nothing"],
    ),
    (
        "SIGTERM while the main thread hangs in a library",
        "the process ends after 4.5 s with status 1",
        ["test_sigterm_ends_a_process_that_hangs_in_a_library"],
    ),
    (
        "half-open connections to `/metrics`, requests that drip or never end",
        "at most 32 descriptors, no thread, the next request is answered",
        ["test_half_open_connections_take_neither_descriptors_nor_threads", "test_a_connection_ends_at_its_age"],
    ),
    (
        "half-open connections to `seisedge replay`",
        "the oldest are disconnected, others are served",
        ["test_silent_clients_take_no_place_from_others"],
    ),
    (
        "a thread of the station that dies",
        "reported by `/healthz`, restarted",
        ["test_every_thread_of_a_station"],
    ),
    (
        "thousands of station codes in one stream",
        "the first are analysed, as many as the memory allows; one warning and a counter",
        [
            "test_the_number_of_stations_without_a_file_is_bounded",
            "test_stations_from_the_wire_and_the_size_of_the_metrics",
        ],
    ),
    (
        "secrets in URLs, files, environment and proxy variables",
        "none of them in the log, `/metrics`, `/healthz`, systemd's status, `state show`, or a file of the run",
        [
            "test_a_run_writes_no_secret",
            "test_a_state_folder_of_an_earlier_release_keeps_its_rows_and_loses_its_secrets",
        ],
    ),
    (
        "a token with a typographic quote, a host name that cannot be looked up",
        "refused at the start, one sentence",
        ["test_a_token_that_no_header_carries_is_refused_at_the_start", "test_addresses.py"],
    ),
    (
        "libraries that open connections by themselves",
        "no look-up, no connection, no file",
        ["test_unasked_connections.py"],
    ),
    (
        "an outage longer than the ring of the server, SeedLink 3 and 4, DataLink",
        "starts at the earliest packet, counts and logs the gap",
        ["test_a_server_that_no_longer_has_the_next_packet"],
    ),
    (
        "a server that was replaced and numbers from the start",
        "the same",
        ["test_a_server_that_was_replaced_numbers_from_the_start"],
    ),
    (
        "a server that sends a byte now and then, endless replies, a stream without packets",
        "given up after 20 s, 60 s, or by the age of the data; retried",
        ["test_slow_servers.py"],
    ),
    (
        "a seismometer that clips, beside an accelerometer",
        "the accelerometer's velocity from the first clipped sample on; magnitude within 0.1 of the unclipped one",
        ["test_an_accelerometer_takes_the_place_of_a_clipped_seismometer"],
    ),
    (
        "a seismometer that is dead, or a component of it that is missing, beside an accelerometer",
        "the accelerometer's velocity for those samples, stated in the event",
        ["test_a_dead_and_a_missing_component_are_replaced"],
    ),
    (
        "the accelerometer clips as well, its gain is unknown, or it stands at another depth",
        "`clipped` as without it; at another depth a provisional magnitude",
        [
            "test_a_clipped_accelerometer_does_not_take_the_place",
            "test_without_the_gains_of_both_a_clipped_seismometer_stays_clipped",
            "test_an_accelerometer_at_another_depth_gives_no_value_of_the_magnitude",
        ],
    ),
    (
        "an accelerometer alone or beside a seismometer: any packets, lost and late ones, kill and restart, SeedLink",
        "all events, byte for byte",
        [
            "test_killed_and_restored",
            "test_the_events_do_not_depend_on_the_packets",
            "test_an_accelerometer_beside_a_seismometer",
        ],
    ),
    (
        "a Shake that loses every second packet for 3 s",
        "the inferred rate is corrected, with a new segment",
        ["test_a_rate_inferred_during_packet_loss_is_corrected"],
    ),
    (
        "a Shake whose address changes",
        "used again after 10 s of silence",
        ["test_another_sender_is_used_after_a_silence", "test_a_name_in_the_url_is_looked_up_again_during_a_silence"],
    ),
    (
        "hostile clients of `replay`: patterns that backtrack, endless lines, floods of commands, a thousand connections",
        "the others are served",
        ["test_hostile_clients.py", "test_pattern.py"],
    ),
    (
        "a wrong version, refusal or list of stations from a server that did provide data",
        "retries; ends a run only at its first connection",
        ["test_a_wrong_reply_after_the_first_connection_does_not_end_the_run"],
    ),
    (
        "one of two sensors stops, is dead or returns, with the onset detector",
        "each component of a second is read from one sensor, context included: the join opens no event",
        ["test_onset_detector.py"],
    ),
    (
        "an engine gives other bits for a window in a batch than alone",
        "batches are not used for this model on this engine; the events stay the same",
        ["test_onnxruntime.py", "test_onset_detector.py", "test_together.py"],
    ),
    (
        "a wrong station file, StationXML file or model under the unit",
        "safe mode: `/healthz` 503 with every reason, the watchdog is notified; the corrected file starts the station",
        ["test_safe_mode.py"],
    ),
    (
        "a run that crashes at every start, by its unit",
        "20 starts within an hour, then a pause of an hour",
        ["test_firmware_configs.py"],
    ),
    (
        "sshd's process of the connection is killed before, in or after each stage of `flash push`",
        "the same outcome, one installation",
        ["test_push.py"],
    ),
    (
        "twenty devices, three unreachable, one failing",
        "the wave with the failed device is the last one",
        ["test_fleet.py"],
    ),
    (
        "a broker or server that comes, goes and returns during a run",
        "one WARNING for each different reason of an outage, one line with its duration at the end; nothing lost",
        ["test_live_log.py"],
    ),
    (
        "an alert service that refuses messages for a while (mail 451, HTTP 503)",
        "only that service is tried again; each message arrives once, and none after `deadline_s`",
        ["test_alerts.py"],
    ),
    (
        "the disk of the state folder is full at the end of a run",
        "the log says how many undelivered lines are stored and how many are lost",
        ["test_drain.py"],
    ),
    (
        "an MQTT broker with TLS and a password: a plain client, a wrong authority, a wrong password, a restart",
        "one WARNING with the reason; lines wait and arrive in order; station and health are published again",
        ["test_mqtt.py", "test_mqtt_messages.py"],
    ),
    (
        "a wrong clock, with `keep_days` of QuakeML documents",
        "removes no document of the present",
        ["test_quakeml.py"],
    ),
    (
        "packets of a file taken at once: gaps, flags, another rate, drift, jitter, repetitions, late packets, clock steps",
        "the same lines and the same state as one by one",
        ["test_packets_taken_at_once_are_as_one_by_one"],
    ),
    (
        "an exception while packets of a file are taken at once",
        "a WARNING; the packets are taken one by one on new timelines",
        ["test_an_exception_while_packets_are_taken_at_once"],
    ),
    (
        "a state folder of another release (version 5 after `kill -9`, or a future one), in the middle of a stream",
        "delivers the waiting lines and reads on; no line lost or doubled",
        ["test_other_releases.py"],
    ),
    (
        "a server that accepts the first connection and never answers, under systemd",
        "READY after 30 s with the reason in the status line; the watchdog is notified from the start",
        ["test_metrics.py", "test_service.py"],
    ),
    (
        "two runs with the same MQTT client name at one broker",
        "three lines in the log, with the reason; each is retried after 1 to 60 s",
        ["test_mqtt.py", "test_link_log.py"],
    ),
    (
        "workers, the scheduler or the process of `seisedge archive` are killed",
        "started again, the command analyses what is missing; the tables have the same bytes",
        ["test_cluster.py", "test_run.py"],
    ),
    (
        "a damaged day file of an archive",
        "its unit fails alone and is listed, exit 1; `--retry` after a repair gives the bytes of an undamaged archive",
        ["test_run.py"],
    ),
    (
        "a station-day that cannot begin by itself (jittering clock, a chain of onsets)",
        "is continued from the day before; the events are those of one run",
        ["test_unit.py"],
    ),
    (
        "bad bundles and devices, by the command line of the launcher",
        "exit code of the design, one sentence, nothing changed outside the staging folder",
        ["test_command_line.py"],
    ),
    (
        "the process of the launcher is killed before each change of the file system",
        "one complete version is active, the next installation succeeds",
        ["test_killed_process.py"],
    ),
)
