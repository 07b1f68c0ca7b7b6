"""Training of the tiny checkpoint; only the command line imports it.

visualcloze-nb train tiny | vae | transformer | export | ablations
"""
