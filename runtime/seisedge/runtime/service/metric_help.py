"""HELP of each metric: what it is, and what to do when it is not as it should be."""

from __future__ import annotations

HELP = {
    # process
    "up": "1 if data are analysed, 0 in an outage. If 0: /healthz has the reasons.",
    "safe_mode": "1 if the station could not start and only reports why. If 1: /healthz has the reason.",
    "build_info": "Always 1; the labels are the versions of seisedge, Python and onnxruntime.",
    "model_info": "Always 1; the labels are the models in use, their SHA-256, engine and precision.",
    "run_seconds": "Seconds since the run began. If it falls often: the process is restarted, see its log.",
    "real_time_factor": "Seconds of data analysed per second of the run. A live station has about 1.",
    "behind_seconds": "Seconds behind a live stream. If it grows: the machine is too slow for its stations; above "
    "live.max_behind_s windows are dropped.",
    "resident_bytes": "Resident memory of the process. If it grows for days: report it with the log.",
    "thread_up": "1 while the thread works. If 0: it has failed and is restarted, see the log.",
    "thread_failures_total": "Failures after which a thread was restarted. If it rises: report it with the log.",
    "output_waiting_lines": "Lines that the reader of standard output or standard error has yet to take.",
    "output_dropped_lines_total": "Lines dropped because nobody read them. If it rises: their reader hangs.",
    "output_stalled_seconds": "Seconds for which the reader has taken nothing. If it grows: the reader hangs.",
    "temperature_celsius": "Temperature of a thermal zone. If it nears the limit of the board: cool it.",
    # source
    "source_connected": "1 while the source is connected. If 0: /healthz and the log have the reason.",
    "source_records_total": "Records decoded. If it stands still: the source sends nothing, see source_connected.",
    "source_bytes_total": "Bytes of the records.",
    "source_bad_records_total": "Records that cannot be used. If it rises: see dead-letters.jsonl in the state folder.",
    "source_failed_records_total": "Records whose analysis raised an exception. If it rises: report it with the log.",
    "source_text_records_total": "Text records: the log of the digitizer. No action.",
    "source_skipped_bytes_total": "Bytes skipped between records. If it rises: the server or the line damages data.",
    "source_truncated_total": "Last records of files that are incomplete. If it rises: check how the files are copied.",
    "source_duplicates_total": "Records that the server sent again; they are dropped. No action.",
    "source_reconnects_total": "Reconnections. If it rises often: check the line and the server.",
    "source_resume_gaps_total": "Outages longer than the memory of the server: data may be missing. If it rises: "
    "enlarge the memory of the server.",
    "source_foreign_total": "UDP packets of other senders. If it rises: another Shake sends to this port.",
    "source_sender_changes_total": "Changes of the address of the UDP sender. If it rises: give it a fixed address.",
    "source_rate_corrections_total": "Times an inferred sampling rate was wrong. If it rises: give rate=HZ in the URL.",
    "source_dropped_total": "UDP packets that arrived too fast. If it rises: the machine is too slow.",
    "dead_letters_total": "Records kept in dead-letters.jsonl. If it rises: see its reasons.",
    # arrivals and stations
    "usable_age_seconds": "Seconds since the last packet that was analysed, or since the start. If it grows: check the "
    "channel codes and the digitizer.",
    "channel_age_seconds": "Seconds since the last packet of a configured or analysed channel, or since the start. If "
    "it grows: check the sensor and its cable.",
    "stations": "Stations analysed.",
    "ignored_packets_total": "Packets of stations that are not analysed. If it rises: add station files, or name "
    "stations in the URL.",
    "last_sample_timestamp_seconds": "Time of the newest sample, seconds since 1970. If it stands still: no data.",
    "last_event_timestamp_seconds": "Onset of the newest event, seconds since 1970. If it is old: check the gain, the "
    "trigger and the data.",
    "data_age_seconds": "Seconds from the newest sample to now. If it grows: data are late; negative: a clock "
    "is wrong.",
    "arrival_age_seconds": "Seconds since the last packet of the station arrived. If it grows: check the digitizer.",
    "state_of_health": "Newest value of a state-of-health channel of the digitizer, in the unit of its label. If it is "
    "beyond its limits: see state_of_health in the station file.",
    "packets_total": "Packets of the station.",
    "stray_packets_total": "Packets whose time no other packet confirms. If it rises: check the digitizer's clock.",
    "new_timelines_total": "Times the clock of the digitizer was set back. If it rises: check its GPS or NTP.",
    "triggers_total": "Triggers. If it rises fast: noise at the site, or a wrong trigger setting.",
    "retriggers_total": "Triggers during an open event. No action.",
    "events_total": "Events emitted.",
    "retracted_events_total": "Events emitted and then retracted, as noise or for a low probability. If it rises fast: "
    "noise at the site.",
    "noise_answers_total": "Answers that classified the window as noise. No action.",
    "noise_events_total": "Triggers that stayed noise and were not emitted. If it rises fast: noise at the site.",
    "spike_triggers_total": "Triggers caused by a spike. If it rises: check the cable and the power supply.",
    "step_triggers_total": "Triggers caused by a step. If it rises: check the sensor (mass position) and the cable.",
    "calibration_triggers_total": "Triggers caused by a calibration. No action.",
    "inferences_total": "Inferences for events.",
    "hops_total": "Seconds written in continuous mode.",
    "dropped_windows_total": "Windows skipped because the run was behind. If it rises: the machine is too slow.",
    "dropped_events_total": "Events of which every window was skipped. If it rises: the machine is too slow.",
    # components
    "component_samples_total": "Samples of a component.",
    "component_gaps_total": "Gaps. If it rises: check the line; samples that are sent again are no gap.",
    "component_gap_samples_total": "Samples missing in gaps. If it rises: check the line.",
    "component_duplicate_samples_total": "Samples received twice; they are dropped. No action.",
    "component_disagreeing_samples_total": "Repeated samples with other values. If it rises: sensors share a code.",
    "component_late_samples_total": "Samples that arrived too late. If it rises: raise timeline.reorder_wait_s.",
    "component_unsound_samples_total": "Masked samples: spikes, steps, clipping. If it rises: check the sensor.",
    "component_retimings_total": "Corrections of the sample clock. If it rises: check the clock of the digitizer.",
    # journal and sinks
    "journal_up": "1 if the journal can be written. If 0: the disk of the state folder is full or read-only.",
    "journal_commits_total": "Transactions, including failed ones.",
    "journal_failures_total": "Failed transactions. If it rises: check the disk of the state folder.",
    "journal_dropped_lines_total": "Lines dropped before every sink had them. If it rises: a sink is down too long, or "
    "journal.max_lines is too small.",
    "sink_connected": "1 while a sink that keeps a connection is connected. If 0: the log has the reason.",
    "sink_waiting_lines": "Lines that a sink has yet to receive. If it grows: the sink is down or slow.",
    "sink_oldest_waiting_seconds": "Age of the oldest line that waits for a sink. If it grows: the sink is down.",
    "sink_last_delivery_seconds": "Seconds since a sink last accepted a line.",
    "sink_alive": "1 while the thread of a sink works. If 0: it is restarted, see the log.",
    "sink_down_seconds": "Seconds since a sink began to fail, 0 if it works. If it grows: the log has the reason.",
    "sink_delivered_total": "Lines delivered to a sink.",
    "sink_left_out_total": "Lines that the conditions of a sink (status, magnitude, hourly limit) exclude. No action.",
    "sink_refused_total": "Lines that a sink has refused. If it rises: see sink-dead-letters.jsonl.",
    "sink_undecodable_total": "Damaged lines that no sink can receive. If it rises: check the disk.",
    "sink_dead_lettered_total": "Refused and damaged lines kept in sink-dead-letters.jsonl. If it rises: see there.",
    "sink_restarts_total": "Restarts of the thread of a sink. If it rises: report it with the log.",
    "disk_free_bytes": "Free bytes on the disk of the state folder. If it nears 0: free some space.",
    # snippets and archive
    "snippets_written_total": "Snippets of events written.",
    "snippets_incomplete_total": "Snippets without some of their records. If it rises: see the .txt files beside them.",
    "snippets_missing_total": "Events without records: a .txt file has the reason. If it rises: see these files.",
    "snippets_held_bytes": "Records in memory for events that wait for their file. If it grows: the disk is slow "
    "or full.",
    "snippets_failures_total": "Records or events that raised an exception. If it rises: report it with the log.",
    "archive_records_total": "Records written to an archive. If it stands still: /healthz has the reason.",
    "archive_written_bytes_total": "Bytes written to an archive.",
    "archive_repeated_records_total": "Records that a source sent again and the archive has. No action.",
    "archive_dropped_records_total": "Records not archived because too many waited. If it rises: the disk is too slow "
    "or full.",
    "archive_failures_total": "Failed writes of an archive. If it rises: check its disk.",
    "archive_waiting_bytes": "Records in memory that wait to be archived. If it grows: the disk is slow or full.",
    "storage_deleted_files_total": "Files deleted for the limits of [snippets] and [archive]. If it rises for the "
    "snippets: give them more room.",
    "storage_deleted_bytes_total": "Bytes of these files.",
    "storage_free_bytes": "Free bytes on the disk of snippets or archives. If it nears min_free_mb: free some space.",
    # durations
    "inference_seconds": "Duration of an inference, whether or not it led to a line.",
    "work_seconds": "Duration from the start of the work on a packet to the finished line. If it grows: the machine is "
    "too slow or too hot.",
    "commit_seconds": "Duration of a transaction. If it grows: the disk is slow or worn.",
}
