"""Training with TRL and transformers, on one device or several, of one machine or more.

Not covered: quantized weights.

=============  ================================================================================================
``train``      ``TrlTrainer``
``trial``      the devices chosen, the micro-batch found by trial, the reports written
``rows``       rows as token ids
``devices``    how many devices, and how they share the model
``attempt``    one attempt, in this process or as one of several
``launch``     several processes, started by an ``agent`` and followed; ``worker`` is one of them
``model``      the model loaded: ``randomness`` and ``router`` switch off what is its own, ``adapter`` gives it one
``start``      what is shown of it before the first step; ``head`` is where its log-probabilities come from
``save``       the model written, and shown to be the one that was trained
``objective``  the table of objectives
``sft``        one of them, as are ``dpo`` and ``judge``
``turns``      what those share that are written by the chat template
``loop``       what all trainings share; ``arguments`` are its settings in transformers' words
``reports``    what is kept of each step
``loading``    a checkpoint's states, read without running what they may hold
``together``   several machines agree where they go on, and bring a checkpoint together
``batches``    which rows a device reads at which step
=============  ================================================================================================
"""
