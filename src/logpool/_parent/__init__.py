"""What runs in the process that made the executor or relay, and in which records are handled.

- The parts of a relay: service, manager, manager_process, arguments.
- The way of a record: listener, dispatcher, call_site, record_factory, stock_handlers.
- The pool: jobs, pool_thread, crash_reporter.
- What workers take over: settings_watch, main_module_guard.
"""
