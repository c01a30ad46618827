"""Names, for each command in the documentation, the test that runs it, or the reason why none does.

A test runs what a command starts, often with fewer rounds or against a stand-in for AWS.
"""

# The beginning of a command, and the test that runs it. The longest beginning holds.
RUN_BY = {
    "./build.sh bench": "tests/bench/test_bench.py",
    "./build.sh bench flush": "tests/bench/test_bench.py::test_next_waits_for_the_response_of_the_endpoint",
    "./build.sh bench memory": "tests/bench/test_bench.py::test_memory_and_idle_cpu_are_measured",
    "./build.sh bench records": "tests/bench/test_bench.py::test_every_record_of_a_run_arrives",
    "./build.sh bench shares": (
        "tests/bench/test_bench.py::test_shares_compare_environments_with_and_without_the_extension"
    ),
    "./build.sh check": "tests/check/test_command.py::test_everything_is_delivered",
    "./build.sh demo": "tests/demo/test_demo.py::test_receiver_has_everything_and_the_last_line_says_so",
    "./build.sh fuzz": "tests/fuzz/test_targets.py::test_changed_inputs_break_no_promise",
    "./build.sh image": "tests/layer/test_image.py::test_image_is_built_with_the_first_builder_that_is_installed",
    "./build.sh install": "tests/setup/test_install.py::test_task_installs_the_groups_that_it_needs",
    "./build.sh lock": "tests/setup/test_lock.py",
    "./build.sh layer": "tests/layer/test_tree.py::test_builds_in_different_folders_are_identical",
    "aws lambda delete-layer-version": "tests/layer/test_publish.py::test_commands_of_the_documentation_work",
    "aws lambda get-function-configuration": "tests/layer/test_publish.py::test_commands_of_the_documentation_work",
    "aws lambda list-functions": "tests/layer/test_publish.py::test_commands_of_the_documentation_work",
    "aws lambda update-function-configuration": "tests/layer/test_publish.py::test_commands_of_the_documentation_work",
    "aws secretsmanager create-secret": "tests/layer/test_publish.py::test_commands_of_the_documentation_work",
    "build/venv/bin/python -m pytest tests/conformance/test_victoria.py": "tests/conformance/test_victoria.py",
    "build/venv/bin/python -m tests.chaos": (
        "tests/chaos/test_chaos.py::test_nothing_is_lost_and_no_invocation_is_delayed"
    ),
    "build/venv/bin/python -m tests.docs.mapping": (
        "tests/docs/test_mapping.py::test_page_has_the_table_that_the_code_makes"
    ),
    "build/venv/bin/python -m tests.docs.settings": (
        "tests/docs/test_settings.py::test_page_has_the_table_that_the_code_makes"
    ),
    "build/venv/bin/python -m tests.emulator": "tests/emulator/test_emulator.py",
    "build/venv/bin/python -m tests.fleet": (
        "tests/fleet/test_fleet.py::test_environments_do_not_return_at_the_same_moment_and_deliver_everything"
    ),
    "build/venv/bin/python -m tests.floods": "tests/floods/test_floods.py::test_table_has_a_row_for_each_cell",
    "build/venv/bin/python -m tests.long_life": (
        "tests/long_life/test_long_life.py::test_counts_are_exact_and_nothing_grows_over_a_simulated_hour"
    ),
    "build/venv/bin/python -m tests.support.any_settings": "tests/worker/test_any_settings.py",
    "docker build": "tests/layer/test_container.py::test_extension_runs_in_an_image_with_glibc",
    "docker run --rm --env-file function.env --entrypoint /opt/extensions/telemetry-forwarder": (
        "tests/layer/test_container.py::test_extension_runs_in_an_image_with_glibc"
    ),
    "layer/publish.sh": (
        "tests/layer/test_publish.py::test_same_file_is_published_once_and_another_one_as_the_next_version"
    ),
    "layer/publish.sh --run --organization-id": (
        "tests/layer/test_publish.py::test_layer_is_opened_to_an_organization"
    ),
    "npx cdk deploy": "tests/layer/test_examples.py::test_cdk_synthesizes_a_function_with_the_layer",
    "npx osls deploy": "tests/layer/test_examples.py::test_serverless_packages_a_function_with_the_layer",
    "python -m telemetry_forwarder check": "tests/test_main.py::test_module_is_the_same_command",
    "sam deploy": "tests/layer/test_examples.py::test_sam_template_has_no_findings",
    "terraform init": (
        "tests/layer/test_examples.py::test_terraform_file_is_valid_and_refers_only_to_what_it_declares"
    ),
}

# The beginning of a command, and why no test runs it.
NOT_RUN = {
    "./build.sh test": "it runs the tests: .github/workflows/ci.yml",
    "build/venv/bin/python -m pytest tests/otlp": "it runs tests: .github/workflows/ci.yml",
    "git worktree add": "git's own",
    "npx serverless deploy": "needs a licence key; osls, its fork, is run instead",
    "python3 layer/check.py start": "measures; ./build.sh bench startup measures more",
    "python3 layer/lock.py": "asks the package indexes for their newest versions",
}
