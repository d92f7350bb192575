"""The report as one HTML page that needs nothing else: no network, no files beside it.

model      what a page is made of
listing    source, C and bytecode, line by line, with the names that lines share
graph      control-flow graphs before and after, laid out
sections   what every command's report has: assumptions, counterexample, counts and times, diagnostics
pages      the page of each command
html       pages as text
"""
