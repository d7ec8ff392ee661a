"""Evidence for whoever signs off a deployment: claims against limits that were fixed first.

A claim is a YAML file (`claims`).  Its limits are hashed before anything runs (`bundle`); what was
measured is kept row by row (`measuring`), every figure is made of the rows by one of a few
estimators (`estimators`), and a claim is shown only if its negative control, the same measurement
on something broken on purpose, failed in the same run (`judgement`).
"""
