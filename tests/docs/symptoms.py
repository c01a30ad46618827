"""Names, for each row of docs/troubleshooting.md, the test that provokes the symptom and finds the line."""

_BUFFER = "tests/buffer/test_spool.py"
_ENDINGS = "tests/extension/test_endings.py"
_EXPORTER = "tests/export/test_exporter.py"
_FORWARDER = "tests/worker/test_forwarder.py"
_LAST_RESORT = "tests/worker/test_last_resort.py::test_totals_contain_what_was_refused_and_what_was_not_stored"
_LIFECYCLE = "tests/test_lifecycle.py"
_OVERTAKING = "tests/worker/test_overtaking.py::test_only_one_of_both_logs_the_totals_and_lost_spans_are_mentioned"
_START_SCRIPT = "tests/extension/test_start_script.py"
_THREAD = "tests/worker/test_thread.py"
_TLS = "tests/transport/test_tls.py"
_WRONG_ENVIRONMENT = f"{_START_SCRIPT}::test_layer_in_the_wrong_environment_is_one_line_with_advice"

# In the order of the rows: words of the first cell, and the test, whose file has the same words.
LINES = {
    "no endpoint is set": (
        "tests/endpoints/test_endpoint.py::test_without_settings_the_default_of_the_specification_is_used_and_logged_once"
    ),
    "there is no Telemetry API here": ("tests/conformance/test_standard.py::test_a_missing_telemetry_api_is_no_error"),
    "check that this is an OTLP endpoint": (
        f"{_EXPORTER}::test_batch_is_held_without_another_attempt_and_the_reason_logged"
    ),
    "has neither http": (
        "tests/endpoints/test_endpoint.py::test_scheme_is_added_to_an_endpoint_without_one_and_reported_once"
    ),
    "not a http:// or https:// URL": (
        "tests/endpoints/test_endpoint.py::test_invalid_endpoint_is_reported_once_without_its_secrets"
    ),
    "is not one of": "tests/test_session.py::test_invalid_settings_are_logged",
    "there is no such setting": "tests/worker/test_wiring.py::test_problem_of_a_setting_is_logged",
    "does not accept telemetry: ": f"{_EXPORTER}::test_first_failure_and_recovery_are_logged_once",
    "; telemetry is held": ("tests/export/test_flusher.py::test_sender_thread_that_cannot_start_costs_one_attempt"),
    "forwarding starts with a later event": (
        f"{_LIFECYCLE}::test_thread_that_cannot_start_costs_one_line_and_forwarding_starts_later"
    ),
    " refused ": f"{_EXPORTER}::test_refused_batch_is_dropped_and_the_servers_message_logged",
    "cannot be sent over gRPC": (
        "tests/endpoints/test_endpoint.py::test_headers_that_grpc_cannot_send_are_one_problem_and_left_out"
    ),
    "the server responded with HTTP/1": "tests/transport/grpc/test_client.py::test_server_of_http1_is_named",
    " rejected ": f"{_EXPORTER}::test_rejected_items_are_counted_and_not_sent_again",
    "the rest of a post was dropped": ("tests/worker/test_intake.py::test_defect_of_the_conversion_costs_one_post"),
    "to the subscription; nothing will be forwarded": (
        f"{_LIFECYCLE}::test_subscription_tries_the_older_schema_and_tolerates_any_status"
    ),
    "using any free port": "tests/test_session.py::test_port_that_is_in_use_is_a_warning_and_another_port",
    "the system's authorities are trusted": (
        f"{_TLS}::test_unusable_authority_is_logged_and_servers_are_still_verified"
    ),
    "has not been read yet": f"{_TLS}::test_file_that_does_not_answer_is_named_and_waited_for_once",
    "cannot be used and is ignored": f"{_TLS}::test_unusable_client_certificate_is_logged_and_ignored",
    "the warm-up bundle cannot be used": (
        "tests/layer/test_tree.py::test_missing_or_truncated_bundle_is_named_and_invocations_continue"
    ),
    "this is the layer for ": _WRONG_ENVIRONMENT,
    "there is no glibc here": _WRONG_ENVIRONMENT,
    "no Python found": f"{_START_SCRIPT}::test_missing_python_is_one_line_with_advice",
    "without SHUTDOWN": f"{_ENDINGS}::test_signal_while_next_is_withheld_ends_the_process_as_well",
    "the end came before forwarding was ready": f"{_ENDINGS}::test_signal_before_anything_is_held_is_one_line",
    "forwarding does not respond": (f"{_THREAD}::test_write_that_does_not_end_leaves_what_waits_in_the_totals_as_held"),
    "; trying again": f"{_LIFECYCLE}::test_register_that_fails_is_repeated",
    "the end came during a conversion": _OVERTAKING,
    "spans and metrics that were not made yet are lost": _OVERTAKING,
    "forwarding stopped": f"{_THREAD}::test_shutdown_is_done_if_the_forwarder_fails",
    "check of ": "tests/extension/test_check.py::test_findings_are_log_lines_in_lambda",
    "the endpoints are not checked": f"{_THREAD}::test_check_for_which_there_is_no_thread_is_one_line",
    "the accounts do not balance": (
        "tests/worker/test_accounting.py::test_accounts_that_do_not_balance_are_reported_once_a_minute"
    ),
    "batches stay in memory": (
        f"{_BUFFER}::test_file_in_place_of_the_folder_is_logged_once_and_batches_stay_in_memory"
    ),
}

TOTALS = {
    "outbox full": "tests/buffer/test_ledger.py::test_summary_is_one_line_without_counts_that_are_zero",
    "spool file too large": f"{_FORWARDER}::test_file_that_is_larger_than_any_we_write_is_set_aside_unread",
    "larger than the outbox": f"{_FORWARDER}::test_batch_larger_than_the_outbox_is_spooled_or_counted",
    "not spooled": f"{_FORWARDER}::test_post_without_time_and_disk_is_counted",
    "posts refused for now": _LAST_RESORT,
    "foreign posts refused": _LAST_RESORT,
    "duplicate posts": "tests/worker/test_intake.py::test_duplicate_post_is_counted_and_not_converted",
    "posts spooled": f"{_FORWARDER}::test_post_that_there_is_no_time_to_convert_is_converted_by_the_next_process",
}

# These are no lines: the tests provoke the cause.
SYMPTOMS = {
    "or you are not sure about a setting": "tests/check/test_command.py::test_signal_that_cannot_be_delivered_is_1",
    "and there is no log line": "tests/emulator/test_end_to_end.py::test_log_lines_of_the_extension_are_not_exported",
    "spans without a root": (
        "tests/otlp/test_spans.py::test_the_setting_decides_whether_the_upstream_span_is_parent_or_link"
    ),
    "metrics are missing": "tests/check/test_known_backends.py::test_known_trap_is_a_warning",
    "invocations late": (
        "tests/flushing/test_policy.py::test_auto_does_not_wait_for_the_end_while_invocations_are_close_together"
    ),
}
