raise ImportError('no rawpy')
